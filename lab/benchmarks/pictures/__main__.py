"""usage: python -m lab.benchmarks.pictures [options]

Measure what pictures cost on this machine: an epoch of each network on MNIST written
out as PNG files and on colour pictures, both against MNIST's own files, and how long
the files take to decode. Takes about eight minutes on two CPUs, on which nothing else
should run.

  --arch NAME ...      the networks (default: all)
  --rounds N           how often everything is measured (default: 12; fewer than 6 decide nothing)
  --pictures N         at most so many training pictures in the folder, to see that it
                       works (default: 60000)
  --out FOLDER         where the page goes, and in its folder data raw numbers (default:
                       lightning_logs/benchmark)

Example:
  python -m lab.benchmarks.pictures --out docs
"""

import shlex
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from convblocks.console import answer, echo, end
from convblocks.model.networks import ARCHITECTURES
from lab.benchmarks.harness import THREADS, Measured, in_turns, measure_in_turns, parse, publish
from lab.benchmarks.pictures import measure
from lab.benchmarks.pictures.data import (
    DECODED,
    DECODED_PICTURES,
    DESCRIPTIONS,
    PHOTOGRAPHS,
    TRAINING_PICTURES,
    data_flags,
    keep_decoded,
    write_photographs,
    write_pictures,
)
from lab.benchmarks.pictures.page import blocks
from lab.benchmarks.rows import Results, Row
from lab.benchmarks.training.ways import BATCH_SIZE, Case, train
from lab.pages.writing import multiply_adds

# Training steps of a turn, which takes about a second.
STEPS = {"mlp": 600, "maxpool": 60, "batchnorm": 120}

# Training steps to a batch of evaluation, as in a whole epoch of MNIST: 938 to 10.
STEPS_PER_EVALUATION = 94


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to, or the disk has no room for the pictures.
    """
    options = parse(arguments, "--pictures", BATCH_SIZE, default=TRAINING_PICTURES)
    pictures = min(options.pictures, TRAINING_PICTURES)
    results = Results.begin(arguments, options.rounds, threads=THREADS, pictures=pictures)
    for arch in options.arch:
        results.rows += arithmetic(arch)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        echo(f"writing and decoding {pictures:,} pictures")
        write_pictures(folder, pictures)
        keep_decoded(folder)
        write_pictures(folder / DECODED, min(DECODED_PICTURES, pictures))
        write_photographs(folder / "photographs", min(PHOTOGRAPHS, pictures))
        for arch in options.arch:
            measure_in_turns(results, turns(arch, pictures, folder))
        readings = [
            ({"part": "reading", "way": way}, partial(measure.single_turn, way, folder))
            for way in measure.WAYS
        ]
        results.measure(readings, options.rounds)
    publish("pictures", blocks(results), results, options.out)


def arithmetic(arch: str) -> Iterator[Row]:
    """Of an image of each data set."""
    for data, image_spec in DESCRIPTIONS.items():
        count = multiply_adds(ARCHITECTURES[arch](image_spec), image_spec)
        labels = {"part": "arithmetic", "arch": arch, "data": data}
        yield Row(labels, {"multiply_adds": count})


def turns(arch: str, pictures: int, folder: Path) -> Iterator[Measured]:
    """Short epochs on each data set, and as many bare steps; those of the folder are MNIST's."""
    steps = min(STEPS[arch], pictures // BATCH_SIZE)
    evaluated = max(1, round(steps / STEPS_PER_EVALUATION))
    for data, image_spec in DESCRIPTIONS.items():
        labels = {"part": "epoch", "arch": arch, "data": data, "steps": steps}
        variant = shlex.join(["fit", *data_flags(data, folder)])
        case = Case(variant, arch, steps=steps, test_batches=evaluated)
        yield labels, in_turns(THREADS, train, case)
        if data != "folder":
            bare = in_turns(THREADS, measure.bare_steps, case, image_spec)
            yield labels | {"part": "bare"}, bare


if __name__ == "__main__":
    end(answer(main, __doc__))

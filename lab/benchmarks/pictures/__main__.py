"""usage: python -m lab.benchmarks.pictures [options]

Measure what pictures cost on this machine: an epoch of each network on MNIST written
out as PNG files and on colour pictures, both against MNIST's own files, and how long
the files take to decode. Takes about eight minutes on two CPUs, on which nothing else
should run.

  --arch NAME ...      the networks (default: all)
  --rounds N           how often everything is measured (default: 12; fewer than 6 decide nothing)
  --pictures N         at most so many training pictures in the folder, to see that it
                       works (default: 60000)
  --out FOLDER         where the page goes, and in its folder data raw numbers (default: docs)

Example:
  python -m lab.benchmarks.pictures --arch mlp --out lightning_logs
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path

import torch

from convblocks.console import answer, echo, end
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES
from lab.benchmarks.harness import at_least, in_turns, parser, publish, single_turn
from lab.benchmarks.pictures import measure
from lab.benchmarks.pictures.data import (
    DECODED,
    DECODED_PICTURES,
    DESCRIPTIONS,
    TRAINING_PICTURES,
    data_flags,
    keep_decoded,
    write_pictures,
)
from lab.benchmarks.pictures.measure import BATCH_SIZE, WAYS
from lab.benchmarks.pictures.page import blocks
from lab.benchmarks.rows import Labels, Results, Row, Task, Values
from lab.benchmarks.training.ways import Case, trained
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
    made = parser()
    made.add_argument("--pictures", type=at_least(BATCH_SIZE), default=TRAINING_PICTURES)
    made.set_defaults(out="docs")
    options = made.parse_args(arguments)
    if options.pictures > TRAINING_PICTURES:
        raise UsageError(
            f"--pictures must be at most {TRAINING_PICTURES}, but is {options.pictures}"
        )
    threads = torch.get_num_threads()
    results = Results.begin(arguments, options.rounds, threads=threads, pictures=options.pictures)
    for arch, (data, image_spec) in product(options.arch, DESCRIPTIONS.items()):
        count = multiply_adds(ARCHITECTURES[arch](image_spec), image_spec)
        values: Values = {"multiply_adds": count}
        results.rows.append(Row({"part": "arithmetic", "arch": arch, "data": data}, values))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        echo(f"writing and decoding {options.pictures:,} pictures")
        write_pictures(folder, options.pictures)
        keep_decoded(folder)
        write_pictures(folder / DECODED, min(DECODED_PICTURES, options.pictures))
        for arch in options.arch:
            with ExitStack() as stack:
                tasks = list(turns(arch, options.pictures, folder, stack))
                results.measure(tasks, options.rounds, warm_up=True)
        readings: list[Task] = []
        for way in WAYS:
            read = partial(single_turn, threads, measure.reading, way, folder)
            readings.append(({"part": "reading", "way": way}, read))
        results.measure(readings, options.rounds)
    publish("pictures", blocks(results), results, options.out)


def turns(arch: str, pictures: int, folder: Path, stack: ExitStack) -> Iterator[Task]:
    """Short epochs on each data set, and as many bare steps; those of the folder are MNIST's."""
    threads = torch.get_num_threads()
    steps = min(STEPS[arch], pictures // BATCH_SIZE)
    evaluated = max(1, round(steps / STEPS_PER_EVALUATION))
    case = Case("fit", arch, batch_size=BATCH_SIZE, steps=steps, test_batches=evaluated)
    for data, image_spec in DESCRIPTIONS.items():
        labels: Labels = {"part": "epoch", "arch": arch, "data": data, "steps": steps}
        flags = data_flags(data, folder)
        yield labels, stack.enter_context(in_turns(threads, trained, case, flags))
        if data != "folder":
            bare = in_turns(threads, measure.bare_steps, arch, image_spec, steps)
            yield labels | {"part": "bare"}, stack.enter_context(bare)


if __name__ == "__main__":
    end(answer(main, __doc__))

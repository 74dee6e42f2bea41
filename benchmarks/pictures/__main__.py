"""usage: python -m benchmarks.pictures [options]

Measure what pictures cost on this machine: an epoch of each network on MNIST written out as PNG files and on colour
pictures, both against MNIST's own files, and how long the files take to decode. Takes about eight minutes on two CPUs,
on which nothing else should run.

  --arch NAME ...      the networks (default: all)
  --rounds N           how often everything is measured (default: 3)
  --pictures N         at most so many training pictures in the folder, to see that it works (default: 60000)
  --out FOLDER         where the page goes, and in its folder data raw numbers (default: docs)

Example:
  python -m benchmarks.pictures --rounds 5
"""

import tempfile
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from benchmarks.harness import in_fresh_process, parser
from benchmarks.pictures import measure
from benchmarks.pictures.data import DESCRIPTIONS, TRAINING_PICTURES, Data, keep_decoded, write_pictures
from benchmarks.pictures.measure import BATCH_SIZE, WAYS, Case, Part
from benchmarks.pictures.page import PAGE
from benchmarks.rows import Results, Row, Task
from convblocks.command_line import at_least, output_folder
from convblocks.console import answer, echo, end
from convblocks.data import mnist
from convblocks.errors import UsageError

# Training steps of a measurement: each of its repeats takes about a second.
STEPS = {"mlp": 600, "maxpool": 60, "batchnorm": 120}

# Those that are compared are next to each other.
MEASURED: tuple[tuple[Part, Data], ...] = (
    ("epoch", "folder"),
    ("epoch", "MNIST"),
    ("epoch", "colour"),
    ("bare", "colour"),
    ("bare", "MNIST"),
)


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to, or the disk has no room for the pictures.
    """
    made = parser(rounds=3)
    made.add_argument("--pictures", type=at_least(BATCH_SIZE), default=TRAINING_PICTURES)
    made.set_defaults(out=Path("docs"))
    options = made.parse_args(arguments)
    if options.pictures > TRAINING_PICTURES:
        raise UsageError(f"--pictures must be at most {TRAINING_PICTURES}, but is {options.pictures}")
    out = output_folder(options.out)
    mnist.prepare(mnist.DEFAULT_ROOT)
    threads = torch.get_num_threads()
    results = Results.begin(arguments, options.rounds, threads=threads, pictures=options.pictures)
    for arch in options.arch:
        for data in DESCRIPTIONS:
            labels = {"part": "arithmetic", "arch": arch, "data": data}
            results.rows.append(Row(labels, {"multiply_adds": measure.multiply_adds(arch, data)}))
    with tempfile.TemporaryDirectory() as folder:
        echo(f"writing and decoding {options.pictures:,} pictures")
        write_pictures(Path(folder), options.pictures)
        keep_decoded(Path(folder))
        results.measure(list(cases(options, Path(folder), threads)), options.rounds)
    PAGE.publish(out, results)


def cases(options: Namespace, folder: Path, threads: int) -> Iterator[Task]:
    """The measurements of a round."""
    for arch in options.arch:
        for part, data in MEASURED:
            case = Case(part, arch, data, min(STEPS[arch], options.pictures // BATCH_SIZE))
            yield asdict(case), partial(in_fresh_process, threads, measure.trained, case, folder)
    for way in WAYS:
        yield {"part": "reading", "way": way}, partial(in_fresh_process, threads, measure.reading, way, folder)


if __name__ == "__main__":
    end(answer(main, __doc__))

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
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path

import torch

from convblocks.console import answer, echo, end
from convblocks.errors import UsageError
from lab.benchmarks.harness import at_least, in_fresh_process, in_turns, parser
from lab.benchmarks.pages import output_folder
from lab.benchmarks.pictures import measure
from lab.benchmarks.pictures.data import (
    DECODED,
    DECODED_PICTURES,
    DESCRIPTIONS,
    TRAINING_PICTURES,
    Data,
    keep_decoded,
    write_pictures,
)
from lab.benchmarks.pictures.measure import BATCH_SIZE, WAYS, Case
from lab.benchmarks.pictures.page import PAGE
from lab.benchmarks.rows import Results, Row, Task, Values

# Training steps of a turn, which takes about a second.
STEPS = {"mlp": 600, "maxpool": 60, "batchnorm": 120}

# Of the folder the bare steps are MNIST's.
BARE: tuple[Data, ...] = ("MNIST", "colour")


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to, or the disk has no room for the pictures.
    """
    made = parser()
    made.add_argument("--pictures", type=at_least(BATCH_SIZE), default=TRAINING_PICTURES)
    made.set_defaults(out=Path("docs"))
    options = made.parse_args(arguments)
    if options.pictures > TRAINING_PICTURES:
        raise UsageError(
            f"--pictures must be at most {TRAINING_PICTURES}, but is {options.pictures}"
        )
    out = output_folder(options.out)
    threads = torch.get_num_threads()
    results = Results.begin(arguments, options.rounds, threads=threads, pictures=options.pictures)
    for arch, data in product(options.arch, DESCRIPTIONS):
        values: Values = {"multiply_adds": measure.multiply_adds(arch, data)}
        results.rows.append(Row({"part": "arithmetic", "arch": arch, "data": data}, values))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        echo(f"writing and decoding {options.pictures:,} pictures")
        write_pictures(folder, options.pictures)
        keep_decoded(folder)
        write_pictures(folder / DECODED, min(DECODED_PICTURES, options.pictures))
        for arch in options.arch:
            with ExitStack() as stack:
                tasks: list[Task] = []
                for case in cases(arch, options.pictures):
                    turns = in_turns(threads, measure.train, case, folder)
                    tasks.append((asdict(case), stack.enter_context(turns)))
                results.measure(tasks, options.rounds, warm_up=True)
        readings: list[Task] = []
        for way in WAYS:
            read = partial(in_fresh_process, threads, measure.reading, way, folder)
            readings.append(({"part": "reading", "way": way}, read))
        results.measure(readings, options.rounds)
    PAGE.publish(out, results)


def cases(arch: str, pictures: int) -> list[Case]:
    """What takes turns."""
    steps = min(STEPS[arch], pictures // BATCH_SIZE)
    epochs = [Case("epoch", arch, data, steps) for data in DESCRIPTIONS]
    return [*epochs, *(Case("bare", arch, data, steps) for data in BARE)]


if __name__ == "__main__":
    end(answer(main, __doc__))

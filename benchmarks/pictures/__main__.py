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
import time
from argparse import Namespace
from pathlib import Path

import torch
from torchinfo import summary

from benchmarks.pages import DATA, PAGES, write_raw_numbers
from benchmarks.pictures import page
from benchmarks.pictures.data import DESCRIPTIONS, TRAINING_PICTURES, Data, keep_decoded, write_pictures
from benchmarks.pictures.measure import BATCH_SIZE, WAYS, Case, Measurement, Reading, What, measure, time_reading
from benchmarks.pictures.results import Results
from convblocks.command_line import Parser, output_folder
from convblocks.console import answer, end
from convblocks.data import mnist
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES
from convblocks.runs.provenance import describe_machine, git_commit
from convblocks.tables import terminal, to_console

# Training steps of a measurement: each of its repeats takes about a second.
STEPS = {"mlp": 600, "maxpool": 60, "batchnorm": 120}

# What is compared is next to each other.
MEASURED: tuple[tuple[What, Data], ...] = (
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
    options = parse(arguments)
    out = output_folder(options.out)
    mnist.prepare(mnist.DEFAULT_ROOT)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        results = measure_all(options, arguments, Path(folder))
    results.minutes = (time.perf_counter() - began) / 60
    to_console(page.tables(results), terminal())
    write_raw_numbers(out / DATA, "pictures", results)
    page.write_page(output_folder(out / PAGES), results)
    print(f"Written to {out / 'pictures'}.md and {out / DATA / 'pictures'}.json.")


def parse(arguments: list[str]) -> Namespace:
    parser = Parser()
    parser.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), choices=list(ARCHITECTURES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=TRAINING_PICTURES)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args(arguments)
    options.arch = list(dict.fromkeys(options.arch))
    if options.rounds < 1:
        raise UsageError(f"--rounds must be at least 1, but is {options.rounds}")
    if not BATCH_SIZE <= options.pictures <= TRAINING_PICTURES:
        raise UsageError(f"--pictures must be {BATCH_SIZE} to {TRAINING_PICTURES}, but is {options.pictures}")
    return options


def measure_all(options: Namespace, arguments: list[str], folder: Path) -> Results:
    """All measurements, round by round, so that a change of the machine's pace meets everything."""
    print(f"writing and decoding {options.pictures:,} pictures", flush=True)
    write_pictures(folder, options.pictures)
    keep_decoded(folder)
    counts = {arch: multiply_adds(arch) for arch in options.arch}
    threads = torch.get_num_threads()
    results = Results(describe_machine(), git_commit(), arguments, threads, options.rounds, options.pictures, counts)
    for number in range(options.rounds):
        stage = f"round {number + 1}/{options.rounds}"
        order = -1 if number % 2 else 1
        results.trained += [told(measure(case, folder, threads), stage) for case in cases(options)[::order]]
        results.read += [told_reading(time_reading(way, folder), stage) for way in list(WAYS)[::order]]
    return results


def cases(options: Namespace) -> list[Case]:
    """Each network's measurements in a round."""
    steps = {arch: min(most, options.pictures // BATCH_SIZE) for arch, most in STEPS.items()}
    return [Case(what, arch, data, steps[arch]) for arch in options.arch for what, data in MEASURED]


def multiply_adds(arch: str) -> dict[Data, int]:
    """Of the network for each data set, on one image; by torchinfo."""
    return {
        data: summary(ARCHITECTURES[arch](images_are), input_size=(1, *images_are.shape), verbose=0).total_mult_adds
        for data, images_are in DESCRIPTIONS.items()
    }


def told(measurement: Measurement, stage: str) -> Measurement:
    """Print a measurement as it comes in."""
    case = measurement.case
    print(f"{stage}  {case.arch} {case.what}, {case.data}: {measurement.median:.2f} s", flush=True)
    return measurement


def told_reading(reading: Reading, stage: str) -> Reading:
    """Print how long it took, as it comes in."""
    print(f"{stage}  {reading.way}: {reading.seconds:.2f} s", flush=True)
    return reading


if __name__ == "__main__":
    end(answer(main, __doc__))

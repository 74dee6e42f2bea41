"""The benchmark, from the command line to its page."""

import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.pages import DATA, PAGES, write_raw_numbers
from benchmarks.training import commands, here, page
from benchmarks.training.case import LOADING_IMAGES, PRECISIONS, Case, Variant
from benchmarks.training.measure import Measurement, measure
from benchmarks.training.operators import OperatorTime, operator_times
from benchmarks.training.results import CommandTime, Results
from convblocks.command_line import Parser, output_folder
from convblocks.console import echo
from convblocks.data import mnist
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES
from convblocks.runs.directory import LOGS
from convblocks.runs.provenance import describe_machine, git_commit
from convblocks.tables import terminal, to_console

EPOCH_VARIANTS: tuple[Variant, ...] = ("notebook", "lightning-plain", "bare", "fit")
GROWTH_VARIANTS: tuple[Variant, ...] = ("bare", "barebones", "fit")

# Numbers of worker processes that are tried with the variants that load image by image.
WORKERS = (0, 1, 2)

BATCH_SIZES = (64, 256, 1024, 4096)

# Enough training steps to tell the numbers of workers apart.
WORKER_STEPS = 200

# Training images of a measurement at each batch size.
BATCH_SIZE_IMAGES = 2**14

# The networks whose steps are also compared in bf16-mixed, at the smallest batch size.
BF16_ARCHS = ("maxpool",)

# The networks whose steps are mostly arithmetic.
PROFILED_ARCHS = ("maxpool", "batchnorm")

# How often a round measures the smallest batch size, but for a quick look: the few percent between two variants are
# less than what one measurement is off by.
SMALLEST_REPEATS = 4

# The runs that are trained side by side or one after the other, and the epochs of each.
COMPARED_RUNS = 4
COMPARED_EPOCHS = {"mlp": 5, "batchnorm": 1}


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page, picture and raw numbers; or only tell what is fastest here.

    Raises:
        UsageError: options that are unknown or out of range, or cannot be combined.
        UserError: the folder cannot be written to.
    """
    options = parse(arguments)
    if options.here:
        here.tell_what_is_fastest(options.arch, options.seconds)
        return
    out = output_folder(options.out)
    mnist.prepare(mnist.DEFAULT_ROOT)
    began = time.perf_counter()
    results = measure_all(options, arguments)
    results.minutes = (time.perf_counter() - began) / 60
    write_raw_numbers(out / DATA, "performance", results)
    to_console(page.tables(results), terminal())
    page.write_page(output_folder(out / PAGES), results)
    echo(f"Written to {out / 'performance'}.md and .png, and {out / DATA / 'performance'}.json.")


def parse(arguments: list[str]) -> Namespace:
    parser = Parser()
    parser.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), choices=list(ARCHITECTURES))
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    options.arch = list(dict.fromkeys(options.arch))
    if options.seconds is not None and not options.here:
        raise UsageError("--seconds is how long --here measures: give both")
    for option in ("seconds", "rounds", "steps", "threads", "out"):
        value = getattr(options, option)
        if value is not None and options.here and option != "seconds":
            raise UsageError(f"--here chooses by itself what it measures, and writes no files: leave out --{option}")
        if isinstance(value, int) and value < 1:
            raise UsageError(f"--{option} must be at least 1, but is {value}")
    defaults = {"seconds": here.BUDGET, "rounds": 3, "threads": torch.get_num_threads(), "out": LOGS / "benchmark"}
    for option, default in defaults.items():
        if getattr(options, option) is None:
            setattr(options, option, default)
    return options


def measure_all(options: Namespace, arguments: list[str]) -> Results:
    """All measurements, round by round, so that a change of the machine's pace meets every variant."""
    workers = {
        (variant, arch): best_workers(variant, arch, options) for variant in LOADING_IMAGES for arch in options.arch
    }
    results = Results(describe_machine(), git_commit(), arguments, options.threads, options.rounds, options.steps)
    for number in range(options.rounds):
        stage = f"round {number + 1}/{options.rounds}"
        results.epochs += [told(measure(case, options.threads), stage) for case in epoch_cases(options, workers)]
        results.growth += [told(measure(case, options.threads), stage) for case in growth_cases(options)]
        results.commands += command_times(options)
    results.operators = list(profiles(options))
    return results


def best_workers(variant: Variant, arch: str, options: Namespace) -> int:
    """The number of workers with which a variant trains fastest."""
    steps = min(options.steps or WORKER_STEPS, WORKER_STEPS)
    tried = [
        told(measure(Case(variant, arch, workers=workers, steps=steps), options.threads), "workers")
        for workers in WORKERS
    ]
    return min(tried, key=lambda measurement: measurement.timing.training).case.workers


def epoch_cases(options: Namespace, workers: dict[tuple[Variant, str], int]) -> Iterator[Case]:
    """Every variant with every network, those that are fast also in bf16-mixed, at the course's batch size."""
    for arch in options.arch:
        for precision in PRECISIONS:
            for variant in EPOCH_VARIANTS:
                if variant in LOADING_IMAGES and precision != "32-true":
                    continue
                yield Case(variant, arch, precision, workers=workers.get((variant, arch), 0), steps=options.steps)


def growth_cases(options: Namespace) -> Iterator[Case]:
    """A share of an epoch at growing batch sizes."""
    at_smallest = SMALLEST_REPEATS if options.steps is None else 1
    for arch in options.arch:
        for batch_size in BATCH_SIZES:
            steps = BATCH_SIZE_IMAGES // batch_size
            repeats = at_smallest if batch_size == min(BATCH_SIZES) else 1
            for variant in GROWTH_VARIANTS * repeats:
                yield Case(variant, arch, batch_size=batch_size, steps=min(steps, options.steps or steps))
        if arch in BF16_ARCHS:
            steps = BATCH_SIZE_IMAGES // min(BATCH_SIZES)
            for variant in ("bare", "fit") * at_smallest:
                yield Case(variant, arch, "bf16-mixed", min(BATCH_SIZES), steps=min(steps, options.steps or steps))


def command_times(options: Namespace) -> Iterator[CommandTime]:
    """How long whole commands take."""
    yield CommandTime("imports", "", commands.import_seconds())
    for arch in options.arch:
        yield CommandTime("first step", arch, commands.first_step_seconds(arch, options.threads))
        yield CommandTime("one epoch", arch, commands.one_epoch_seconds(arch, options.threads, options.steps))
    for arch, epochs in COMPARED_EPOCHS.items():
        if arch not in options.arch:
            continue
        for name, jobs, threads in (("side by side", options.threads, 1), ("one by one", 1, options.threads)):
            seconds = commands.compare_seconds(arch, jobs, threads, COMPARED_RUNS, epochs, options.steps)
            yield CommandTime(name, arch, seconds)


def profiles(options: Namespace) -> Iterator[OperatorTime]:
    """The operators of the convolutional networks, on one thread and on all."""
    for arch in (arch for arch in options.arch if arch in PROFILED_ARCHS):
        for precision in PRECISIONS:
            for threads in dict.fromkeys((1, options.threads)):
                yield from operator_times(Case("bare", arch, precision), threads)


def told(measurement: Measurement, stage: str) -> Measurement:
    """Print a measurement as it comes in."""
    case, timing = measurement.case, measurement.timing
    what = f"{case.arch} {case.precision} batch {case.batch_size} {case.variant}, {case.workers} workers"
    echo(f"{stage}  {what}: {timing.training:.2f} s + {timing.evaluation:.2f} s")
    return measurement

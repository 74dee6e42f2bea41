"""usage: python -m benchmarks.training [options]

Measure what training costs with the course's loop, a typical Lightning project, a bare loop in plain torch, and
fit.py, in turn, each in its own process. Takes most of an hour on two CPUs, which should be otherwise idle.

  --arch NAME ...      the networks (default: all)
  --rounds N           number of rounds of all measurements (default: 3)
  --steps N            training steps per epoch and batches per evaluation, for a quick look (default: all)
  --threads N          CPU threads of each measurement (default: torch's choice)
  --out FOLDER         folder for the page, its figure and the raw numbers in data/ (default: lightning_logs/benchmark)

Examples:
  python -m benchmarks.training --arch mlp --rounds 1
  python -m benchmarks.training --out docs
"""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

import torch

from benchmarks.harness import in_fresh_process, parser
from benchmarks.rows import Results, Task
from benchmarks.training import measure
from benchmarks.training.page import PAGE
from benchmarks.training.ways import LOADING_IMAGES, PRECISIONS, Case, Variant
from convblocks.command_line import at_least, output_folder
from convblocks.console import answer, end
from convblocks.data import mnist

EPOCH_VARIANTS: tuple[Variant, ...] = ("notebook", "lightning-plain", "bare", "fit")
GROWTH_VARIANTS: tuple[Variant, ...] = ("bare", "barebones", "fit")

# Numbers of worker processes that are tried with the variants that load image by image, in so many training steps.
WORKERS = (0, 1, 2)
WORKER_STEPS = 200

# Growing batch sizes, and the training images of a measurement at each.
BATCH_SIZES = (64, 256, 1024, 4096)
BATCH_SIZE_IMAGES = 2**14

# The networks whose steps are also compared in bf16-mixed, at the smallest batch size; those that are profiled.
BF16_ARCHS = ("maxpool",)
PROFILED_ARCHS = ("maxpool", "batchnorm")

# How often a round measures the smallest batch size, but for a quick look: the few percent between two variants are
# less than the error of one measurement.
SMALLEST_REPEATS = 4


def main(arguments: list[str]) -> None:
    """Measure, print the tables, and write page, picture and raw numbers.

    Raises:
        UsageError: options that are unknown or out of range.
        UserError: the folder cannot be written to.
    """
    options = parse(arguments)
    out = output_folder(options.out)
    mnist.prepare(mnist.DEFAULT_ROOT)
    results = Results.begin(arguments, options.rounds, threads=options.threads, steps=options.steps)
    results.measure([*epochs(options), *growth(options), *commands(options)], options.rounds)
    results.measure(list(profiles(options)))
    PAGE.publish(out, results)


def parse(arguments: list[str]) -> Namespace:
    made = parser(rounds=3)
    made.add_argument("--steps", type=at_least(1))
    made.add_argument("--threads", type=at_least(1), default=torch.get_num_threads())
    options = made.parse_args(arguments)
    options.arch = list(dict.fromkeys(options.arch))
    return options


def epochs(options: Namespace) -> Iterator[Task]:
    """Every variant with every network, those that are fast also in bf16-mixed, at the course's batch size."""
    for arch in options.arch:
        workers = {variant: best_workers(variant, arch, options) for variant in LOADING_IMAGES}
        for precision in PRECISIONS:
            for variant in EPOCH_VARIANTS:
                if variant not in LOADING_IMAGES or precision == "32-true":
                    case = Case(variant, arch, precision, workers=workers.get(variant, 0), steps=options.steps)
                    yield task("epoch", case, options.threads)


def best_workers(variant: Variant, arch: str, options: Namespace) -> int:
    """The number of workers with which a variant trains fastest."""
    tried = Results.begin([], rounds=1)
    steps = min(options.steps or WORKER_STEPS, WORKER_STEPS)
    cases = [Case(variant, arch, workers=workers, steps=steps) for workers in WORKERS]
    tried.measure([task("workers", case, options.threads) for case in cases])
    return min(WORKERS, key=lambda workers: tried.median("training", workers=workers))


def growth(options: Namespace) -> Iterator[Task]:
    """A share of an epoch at growing batch sizes."""
    repeats = SMALLEST_REPEATS if options.steps is None else 1
    for arch in options.arch:
        for batch_size in BATCH_SIZES:
            steps = BATCH_SIZE_IMAGES // batch_size
            steps = min(steps, options.steps or steps)
            is_smallest = batch_size == min(BATCH_SIZES)
            for variant in GROWTH_VARIANTS * (repeats if is_smallest else 1):
                yield task("growth", Case(variant, arch, batch_size=batch_size, steps=steps), options.threads)
            if is_smallest and arch in BF16_ARCHS:
                for variant in ("bare", "fit") * repeats:
                    yield task("growth", Case(variant, arch, "bf16-mixed", batch_size, steps=steps), options.threads)


def task(part: str, case: Case, threads: int) -> Task:
    return {"part": part, **asdict(case)}, partial(in_fresh_process, threads, measure.epoch, case)


def commands(options: Namespace) -> Iterator[Task]:
    """Whole commands."""
    names = {arch: ["first step", "one epoch"] for arch in options.arch}
    for arch in measure.COMPARED_EPOCHS:
        if arch in names:
            names[arch] += ["side by side", "one by one"]
    for arch, own in {"": ["imports"], **names}.items():
        for name in own:
            labels = {"part": "command", "command": name, "arch": arch}
            yield labels, partial(measure.command, name, arch, options.threads, options.steps)


def profiles(options: Namespace) -> Iterator[Task]:
    """The operators of the convolutional networks, on one thread and on all."""
    for arch in PROFILED_ARCHS:
        for precision in PRECISIONS:
            for threads in dict.fromkeys((1, options.threads)):
                if arch in options.arch:
                    labels = {"part": "operator", "arch": arch, "precision": precision, "threads": threads}
                    case = Case("bare", arch, precision)
                    yield labels, partial(in_fresh_process, threads, measure.operators, case)


if __name__ == "__main__":
    end(answer(main, __doc__))

"""The benchmark of training: its options and cases."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

import torch

from benchmarks.harness import at_least, in_fresh_process, parser
from benchmarks.rows import Results, Task
from benchmarks.training import here, measure
from benchmarks.training.page import PAGE
from benchmarks.training.ways import LOADING_IMAGES, PRECISIONS, Case, Variant
from convblocks.command_line import output_folder
from convblocks.data import mnist
from convblocks.errors import UsageError
from convblocks.runs.directory import LOGS

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
    """Measure, print the tables, and write page, picture and raw numbers; or only find the fastest settings here.

    Raises:
        UsageError: options that are unknown or out of range, or cannot be combined.
        UserError: the folder cannot be written to.
    """
    options = parse(arguments)
    if options.here:
        here.print_fastest(options.arch, options.seconds)
        return
    out = output_folder(options.out)
    mnist.prepare(mnist.DEFAULT_ROOT)
    results = Results.begin(arguments, options.rounds, threads=options.threads, steps=options.steps)
    results.measure([*epochs(options), *growth(options), *commands(options)], options.rounds)
    results.measure(list(profiles(options)))
    PAGE.publish(out, results)


def parse(arguments: list[str]) -> Namespace:
    made = parser()
    made.add_argument("--here", action="store_true")
    for option in ("seconds", "steps", "threads"):
        made.add_argument(f"--{option}", type=at_least(1))
    made.set_defaults(out=None)
    options = made.parse_args(arguments)
    options.arch = list(dict.fromkeys(options.arch))
    if options.seconds is not None and not options.here:
        raise UsageError("--seconds is how long --here measures: give both")
    for option in ("rounds", "steps", "threads", "out"):
        if options.here and getattr(options, option) is not None:
            raise UsageError(f"--here chooses its own measurements and writes no files: leave out --{option}")
    defaults = {"seconds": here.BUDGET, "rounds": 3, "threads": torch.get_num_threads(), "out": LOGS / "benchmark"}
    for option, default in defaults.items():
        if getattr(options, option) is None:
            setattr(options, option, default)
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

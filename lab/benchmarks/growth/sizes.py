"""The sizes of each quantity, and what is measured at them."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from lab.benchmarks.growth.data import wide
from lab.benchmarks.growth.measure import bare_and_wide, called, checking, choosing, reporting
from lab.benchmarks.harness import THREADS, Measured, in_turns
from lab.benchmarks.noise import noise_flags
from lab.benchmarks.training.ways import BATCH_SIZE, Case, train

IMAGES = (2000, 4000, 8000, 16_000, 32_000, 64_000)
BATCH_SIZES = (64, 256, 1024, 4096)
RUNS = (12, 48, 192, 768)
TRIALS = (10, 30, 100, 300, 1000)
PROCESSES = (1, 2, 4)

# With the steps that take up to a second.
CLASSES = {10: 256, 100: 256, 1000: 128, 10_000: 32}
WIDTHS = {100: 256, 400: 128, 1600: 32, 6400: 8}
STEPS = 256

# Images of a turn where batches grow, unless one batch has more, or they are more steps
# than above. The MLP's are all that MNIST has batches of the largest size for.
IMAGES_OF_A_TURN = {"mlp": 14 * 4096, "maxpool": 2048, "batchnorm": 4096}


def point(
    quantity: str, series: str, size: int, function: Callable[..., None], *arguments: Any
) -> Measured:
    """What is measured at a size of a quantity: a series, the same at all sizes, of turns
    that a function takes.
    """
    labels = {"quantity": quantity, "series": series, "size": size}
    return labels, in_turns(THREADS, function, *arguments)


def groups(archs: Sequence[str], most: int | None) -> Iterator[list[Measured]]:
    """The points that take turns with each other, at the smallest ``most`` sizes of
    each quantity.
    """
    batches = [of_batches(arch) for arch in archs]
    others = of_runs(), of_trials(), of_processes()
    for group in (of_images(), of_classes(), of_parameters(), *batches, *others):
        points = list(group)
        sizes = sorted({labels["size"] for labels, _ in points})[:most]
        yield [(labels, turns) for labels, turns in points if labels["size"] in sizes]


def of_images() -> Iterator[Measured]:
    for size in IMAGES:
        case = Case(on_noise(size, 10), "mlp", test_batches=None)
        yield point("images", "epoch", size, train, case)
        yield point("images", "start", size, called, checking, size)


def on_noise(images: int, classes: int) -> str:
    return shlex.join(["fit", *noise_flags(images, classes)])


def of_classes() -> Iterator[Measured]:
    for size, steps in CLASSES.items():
        variant = on_noise(STEPS * BATCH_SIZE, size)
        case = Case(variant, "mlp", steps=steps)
        yield point("classes", "fit", size, train, case)


def of_parameters() -> Iterator[Measured]:
    arch = f"{wide.__module__}.{wide.__name__}"
    for width, steps in WIDTHS.items():
        # Each hidden unit has its weights in and out and a bias, each class a bias.
        size = (784 + 10 + 1) * width + 10
        case = Case(f"fit --network.width {width}", arch, steps=steps)
        yield point("parameters", "fit", size, train, case)
        bare = replace(case, variant="bare")
        yield point("parameters", "bare", size, bare_and_wide, bare, width)


def of_batches(arch: str) -> Iterator[Measured]:
    for size in BATCH_SIZES:
        steps = max(1, min(STEPS, IMAGES_OF_A_TURN[arch] // size))
        for variant in ("fit", "bare"):
            case = Case(variant, arch, batch_size=size, steps=steps)
            yield point("batch", f"{arch}, {variant}", size, train, case)


def of_runs() -> Iterator[Measured]:
    for size in RUNS:
        yield point("runs", "report", size, called, reporting, size)


def of_trials() -> Iterator[Measured]:
    for size in TRIALS:
        yield point("trials", "next trial", size, called, choosing, size)


def of_processes() -> Iterator[Measured]:
    for size in PROCESSES:
        case = Case("fit", "mlp", steps=STEPS, processes=size)
        labels = {"quantity": "processes", "series": "fit", "size": size}
        yield labels, in_turns(1, train, case, ranks=size)

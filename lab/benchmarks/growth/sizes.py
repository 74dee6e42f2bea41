"""The sizes of each quantity, and what is measured at them."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch

from lab.benchmarks.growth import measure
from lab.benchmarks.growth.data import parameters_of, wide
from lab.benchmarks.growth.measure import bare_and_wide, called
from lab.benchmarks.harness import Measured, in_turns
from lab.benchmarks.noise import noise_flags
from lab.benchmarks.training.ways import Case, train

BATCH_SIZE = 64

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
    return labels, in_turns(torch.get_num_threads(), function, *arguments)


def groups(archs: Sequence[str], most: int) -> Iterator[Iterator[Measured]]:
    """The points that take turns with each other, at the smallest ``most`` sizes of
    each quantity.
    """
    yield of_images(IMAGES[:most])
    yield of_classes(dict(islice(CLASSES.items(), most)))
    yield of_parameters(dict(islice(WIDTHS.items(), most)))
    for arch in archs:
        yield of_batches(arch, BATCH_SIZES[:most])
    yield (point("runs", "report", size, called, measure.reporting, size) for size in RUNS[:most])
    yield (
        point("trials", "next trial", size, called, measure.choosing, size)
        for size in TRIALS[:most]
    )
    yield of_processes(PROCESSES[:most])


def of_images(sizes: Sequence[int]) -> Iterator[Measured]:
    for size in sizes:
        yield point("images", "epoch", size, train, Case(on_noise(size, 10), "mlp"))
        yield point("images", "start", size, called, measure.checking, size)


def on_noise(images: int, classes: int) -> str:
    return shlex.join(["fit", *noise_flags(images, classes)])


def of_classes(sizes: dict[int, int]) -> Iterator[Measured]:
    for size, steps in sizes.items():
        variant = on_noise(STEPS * BATCH_SIZE, size)
        case = Case(variant, "mlp", steps=steps, test_batches=1)
        yield point("classes", "fit", size, train, case)


def of_parameters(sizes: dict[int, int]) -> Iterator[Measured]:
    arch = f"{wide.__module__}.{wide.__name__}"
    for width, steps in sizes.items():
        size = parameters_of(width)
        case = Case(f"fit --network.width {width}", arch, steps=steps, test_batches=1)
        yield point("parameters", "fit", size, train, case)
        case = Case("bare", arch, steps=steps, test_batches=1)
        yield point("parameters", "bare", size, bare_and_wide, case, width)


def of_batches(arch: str, sizes: Sequence[int]) -> Iterator[Measured]:
    for size in sizes:
        steps = max(1, min(STEPS, IMAGES_OF_A_TURN[arch] // size))
        for variant in ("fit", "bare"):
            case = Case(variant, arch, batch_size=size, steps=steps, test_batches=1)
            yield point("batch", f"{arch}, {variant}", size, train, case)


def of_processes(sizes: Sequence[int]) -> Iterator[Measured]:
    for size in sizes:
        case = Case("fit", "mlp", steps=STEPS, test_batches=1, processes=size)
        labels = {"quantity": "processes", "series": "fit", "size": size}
        yield labels, in_turns(1, train, case, ranks=size)

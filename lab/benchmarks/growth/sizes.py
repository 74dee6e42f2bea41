"""The sizes of each quantity, and what is measured at them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lab.benchmarks.growth import data, measure
from lab.benchmarks.noise import noise_flags
from lab.benchmarks.training import ways
from lab.benchmarks.training.ways import Case

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


@dataclass(frozen=True)
class Point:
    """A size, and what is measured at it.

    Args:
        quantity: What grows.
        series: What is measured, the same at all sizes.
        size: Of the quantity.
        function: Takes turns.
        arguments: Its arguments, without the turns.
        steps: Training steps of a turn, of which one counts; None if the whole turn
            does.
        ranks: Processes of one thread each that train together; None for one process
            with all threads.
    """

    quantity: str
    series: str
    size: int
    function: Callable[..., None]
    arguments: Sequence[Any]
    steps: int | None = None
    ranks: int | None = None


def groups(archs: Sequence[str], most: int) -> Iterator[list[Point]]:
    """The points that take turns with each other, at the smallest ``most`` sizes of
    each quantity.
    """
    yield list(of_images(IMAGES[:most]))
    yield list(of_classes(dict(islice(CLASSES.items(), most))))
    yield list(of_parameters(dict(islice(WIDTHS.items(), most))))
    for arch in archs:
        yield list(of_batches(arch, BATCH_SIZES[:most]))
    yield [
        Point("runs", "report", size, measure.called, (measure.reporting, size))
        for size in RUNS[:most]
    ]
    yield [
        Point("trials", "next trial", size, measure.called, (measure.choosing, size))
        for size in TRIALS[:most]
    ]
    yield list(of_processes(PROCESSES[:most]))


def of_images(sizes: Sequence[int]) -> Iterator[Point]:
    for size in sizes:
        arguments = Case("fit", "mlp"), noise_flags(size, 10)
        yield Point("images", "epoch", size, ways.trained, arguments)
        yield Point("images", "start", size, measure.called, (measure.checking, size))


def of_classes(sizes: dict[int, int]) -> Iterator[Point]:
    for size, steps in sizes.items():
        case = Case("fit", "mlp", steps=steps, test_batches=1)
        flags = noise_flags(STEPS * BATCH_SIZE, size)
        yield Point("classes", "fit", size, ways.trained, (case, flags), steps)


def of_parameters(sizes: dict[int, int]) -> Iterator[Point]:
    for width, steps in sizes.items():
        size = data.parameters_of(width)
        case = Case("fit", f"{data.__name__}.Wide", steps=steps, test_batches=1)
        flags = ["--network.width", str(width)]
        yield Point("parameters", "fit", size, ways.trained, (case, flags), steps)
        case = Case("bare", "mlp", steps=steps, test_batches=1)
        yield Point("parameters", "bare", size, measure.bare_and_wide, (case, width), steps)


def of_batches(arch: str, sizes: Sequence[int]) -> Iterator[Point]:
    for size in sizes:
        steps = max(1, min(STEPS, IMAGES_OF_A_TURN[arch] // size))
        for variant in ("fit", "bare"):
            case = Case(variant, arch, batch_size=size, steps=steps, test_batches=1)
            yield Point("batch", f"{arch}, {variant}", size, ways.train, (case,), steps)


def of_processes(sizes: Sequence[int]) -> Iterator[Point]:
    for size in sizes:
        case = Case("fit", "mlp", steps=STEPS, test_batches=1)
        strategy = "--trainer.strategy ddp" if size > 1 else ""
        flags = f"--threads 1 --trainer.devices {size} {strategy}".split()
        yield Point("processes", "fit", size, ways.trained, (case, flags), STEPS, ranks=size)

"""Folders of small pictures for the tests: a shape each, light on dark, in random
colours, with noise.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Numbers = NDArray[np.float64]

# The points of each shape: u to the right and v down from the picture's middle, its
# border at 1 or further.
SHAPES: dict[str, Callable[[Numbers, Numbers], NDArray[np.bool_]]] = {
    "disc": lambda u, v: np.hypot(u, v) < 0.7,
    "square": lambda u, v: _reach(u, v) < 0.6,
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.6) < 0.17,
    "frame": lambda u, v: np.abs(_reach(u, v) - 0.65) < 0.15,
    "cross": lambda u, v: (np.minimum(np.abs(u), np.abs(v)) < 0.2) & (_reach(u, v) < 0.8),
    "saltire": lambda u, v: (np.minimum(np.abs(u + v), np.abs(u - v)) < 0.3) & (_reach(u, v) < 0.8),
    "bar": lambda u, v: (np.abs(v) < 0.2) & (np.abs(u) < 0.8),
    "post": lambda u, v: (np.abs(u) < 0.2) & (np.abs(v) < 0.8),
    "slash": lambda u, v: (np.abs(u + v) < 0.3) & (_reach(u, v) < 0.8),
    "backslash": lambda u, v: (np.abs(u - v) < 0.3) & (_reach(u, v) < 0.8),
    "triangle": lambda u, v: (v < 0.7) & (2 * np.abs(u) < v + 0.7),
    "stripes": lambda u, v: (np.sin(8 * v) > 0) & (_reach(u, v) < 0.8),
}


def write_pictures(
    folder: Path,
    *,
    classes: Sequence[str] = ("disc", "square"),
    train: int = 40,
    test: int = 20,
    size: tuple[int, int] = (16, 16),
    colour: bool = True,
    ending: str = "png",
) -> None:
    """Write a data set, ``train/<class>/<index>.<ending>`` and, unless it has no
    pictures, ``test`` likewise.

    Each picture is of the next of the classes, which are names of ``SHAPES``; the same
    ones are drawn each time.
    """
    for number, (split, count) in enumerate({"train": train, "test": test}.items()):
        random = np.random.default_rng([0, number])
        for index in range(count):
            name = classes[index % len(classes)]
            path = folder / split / name / f"{index}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(name, size, random, colour).save(path)


def draw(
    shape: str, size: tuple[int, int], random: np.random.Generator, colour: bool = True
) -> Image.Image:
    """A picture of a shape, slightly off centre."""
    height, width = size
    up, left = random.uniform(-0.15, 0.15, 2)
    unit = min(size) / 2
    v, u = np.meshgrid(
        (np.arange(height) + 0.5 - height / 2) / unit,
        (np.arange(width) + 0.5 - width / 2) / unit,
        indexing="ij",
    )
    channels = 3 if colour else 1
    background, foreground = random.uniform(0, 100, channels), random.uniform(140, 255, channels)
    pixels = np.where(SHAPES[shape](u + left, v + up)[..., None], foreground, background)
    noisy = np.clip(pixels + random.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(noisy if colour else noisy[..., 0])


def _reach(u: Numbers, v: Numbers) -> Numbers:
    """The larger of a point's horizontal and vertical distance from the middle."""
    return np.maximum(np.abs(u), np.abs(v))

"""The image that a network sees of a picture, and whether it looks like a digit at all."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from convblocks.data.images import MNIST, ImageSpec
from convblocks.handwriting.ink import EVERY_NEIGHBOUR, to_mnist
from convblocks.pictures.decoding import LARGEST_PICTURE, read_picture, to_pixels

Pixels = NDArray[np.uint8]

# Of MNIST's 60,000 training images, fewer than 1 in 1,000 exceed each of these limits. Ink is the mean grey value.
MOST_PARTS = 3
MOST_HOLES = 4
LEAST_INK, MOST_INK = 0.0334, 0.3047


def look(source: Path | bytes, image_spec: ImageSpec, most_pixels: int = LARGEST_PICTURE) -> tuple[Image.Image, Pixels]:
    """Read a picture, and make the image that a network sees of it: (C, H, W) uint8.

    Args:
        source: The file, or its content.
        image_spec: The images that the network was trained on. For MNIST the picture is turned into one of its digits.
        most_pixels: Larger pictures are refused.

    Raises:
        UserError: the picture cannot be read, or shows no digit although the network was trained on MNIST.
    """
    picture = read_picture(source, most_pixels)
    return picture, to_mnist(picture)[None] if image_spec == MNIST else to_pixels(picture, *image_spec.shape)


def doubt(seen: Pixels) -> str | None:
    """Why an image (1, 28, 28) uint8 hardly is a digit, or None. A network may be sure of any image."""
    inked = seen[0] > 127
    parts = ndimage.label(inked, EVERY_NEIGHBOUR)[1]  # parts may touch at corners, and holes may not
    holes = ndimage.label(np.pad(~inked, 1, constant_values=True))[1] - 1  # the outside is not a hole
    ink = float(seen.mean()) / 255
    if parts > MOST_PARTS:
        return f"{parts} separate parts"
    if holes > MOST_HOLES:
        return f"{holes} holes"
    if not LEAST_INK <= ink <= MOST_INK:
        return f"{'only ' if ink < LEAST_INK else ''}{100 * ink:.0f} % inked"
    return None

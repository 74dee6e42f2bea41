"""What a network sees of a person's picture: a digit as MNIST holds it, anything else as a folder of pictures does."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convblocks.data.image_spec import MNIST, ImageSpec
from convblocks.data.pictures import LARGEST_PICTURE, read_picture, to_pixels
from convblocks.handwriting.ink import WORKING_SIDE, to_mnist

Pixels = NDArray[np.uint8]


def look(source: Path | bytes, image_spec: ImageSpec, most_pixels: int = LARGEST_PICTURE) -> tuple[Image.Image, Pixels]:
    """A picture, and what a network for such images sees of it: (C, H, W) uint8.

    Args:
        source: The file, or what it holds.
        image_spec: Of the images that the network was trained on.
        most_pixels: How large the picture may be.

    Raises:
        UserError: it cannot be read, or shows no digit to a network for digits.
    """
    if image_spec == MNIST:
        picture = read_picture(source, most_pixels, side=2 * WORKING_SIDE, stretch=True)
        return picture, to_mnist(picture)[None]
    picture = read_picture(source, most_pixels)
    return picture, to_pixels(picture, *image_spec.shape)

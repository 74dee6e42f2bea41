"""Turns a picture of a digit into an image like MNIST's: 28x28 grey values, the digit
light on black.

The steps are those of MNIST's authors (Y. LeCun, L. Bottou, Y. Bengio, P. Haffner:
"Gradient-based learning applied to document recognition", 1998, section III): the
longer side of the digit becomes 20 pixels, its aspect ratio is kept, and its centre of
mass goes to the centre of the 28x28 image. Before that, the ink must be found: it is
everything that differs from a smooth background, so dark on light, light on dark and
coloured pictures are one case.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from convblocks.data.images import MNIST
from convblocks.errors import UserError

Ink = NDArray[np.float64]
Colours = NDArray[np.float64]

SIDE = MNIST.height
DIGIT_SIDE = 20  # the longer side of MNIST's digits

# Pictures are scaled down to this size first: the digit ends at 20 pixels anyway.
WORKING_SIDE = 400

# The least difference of ink from the background: of 255, and in standard deviations of
# the background's noise.
LEAST_CONTRAST = 12.0
LEAST_CONTRAST_IN_NOISE = 8.0

# Parts with less than this share of the largest part's area are dust.
DUST = 0.05

# The most parts of a digit: a picture with more shows noise, texture or a page of text.
MOST_PARTS = 8

# Strokes are measured and adjusted at this multiple of MNIST's resolution.
ENLARGED = 8

# The interquartile range of MNIST's stroke widths in pixels, measured on its training
# images by ``stroke_width``.
STROKE_WIDTHS = (2.1, 3.0)

EVERY_NEIGHBOUR = np.ones((3, 3))


def to_mnist(picture: Image.Image) -> NDArray[np.uint8]:
    """The digit in a picture as an MNIST image: (28, 28) uint8, 0 is background.

    Raises:
        UserError: the picture is blank, or shows far more than one digit.
    """
    enlarged = fit(find_ink(picture), ENLARGED * DIGIT_SIDE)
    digit = fit(adjust_strokes(enlarged), DIGIT_SIDE)
    return np.rint(255 * centre(digit)).astype(np.uint8)


def find_ink(picture: Image.Image) -> Ink:
    """The ink of the digit in each pixel, 0 to 1: (H, W).

    Raises:
        UserError: the picture is blank, or shows far more than one digit.
    """
    difference = _difference_from_background(_colours(picture))
    strength = np.sqrt((difference**2).mean(axis=2))
    # Most pixels are background.
    noise = 1.4826 * float(np.median(strength))
    strongest = float(np.quantile(strength, 1 - 2e-4))
    if strongest < max(LEAST_CONTRAST, LEAST_CONTRAST_IN_NOISE * noise):
        raise UserError("it is blank")
    # Ink has one colour. A difference in another direction, such as a highlight beside
    # a shadow, is not ink.
    most_different = difference.reshape(-1, 3)[strength.argmax()]
    has_its_direction = difference @ most_different > 0
    inked = (strength > strongest / 2) & has_its_direction
    colour = difference[inked].mean(axis=0)
    ink = difference @ colour / (colour @ colour)
    floor = float(np.clip(3 * noise / np.sqrt((colour**2).mean()), 0.05, 0.5))
    return _digit_alone(np.clip((ink - floor) / (1 - floor), 0, 1))


def fit(ink: Ink, side: int) -> Ink:
    """Crop to the ink, and scale its longer side to that many pixels, keeping the aspect ratio."""
    picture = Image.fromarray(ink.astype(np.float32))
    box = picture.crop(Image.fromarray(ink > 0.5).getbbox())
    scale = side / max(box.size)
    size = [max(1, round(length * scale)) for length in box.size]
    resized = box.resize(size, Image.Resampling.BILINEAR)
    scaled = np.clip(np.asarray(resized, dtype=np.float64), 0, 1)
    scaled /= scaled.max()  # scaling down makes thin strokes fade
    return scaled


def adjust_strokes(ink: Ink) -> Ink:
    """Bring the strokes of an enlarged digit into the range of MNIST's widths."""
    width = stroke_width(ink)
    low, high = (ENLARGED * limit for limit in STROKE_WIDTHS)
    change = (float(np.clip(width, low, high)) - width) / 2
    if change == 0:
        return ink
    solid = np.pad(ink, 1 + max(0, round(change))) > 0.5
    # The distance from the edge of the strokes, in pixels; negative inside of them.
    distance = ndimage.distance_transform_edt(~solid) - ndimage.distance_transform_edt(solid)
    return np.clip(0.5 + change - distance, 0, 1)


def stroke_width(ink: Ink) -> float:
    """The mean width of the strokes in pixels.

    Across a stroke of width w, the mean distance to its edge is w/4; the distance to
    the centre of the nearest pixel outside is half a pixel more.
    """
    inside = ndimage.distance_transform_edt(np.pad(ink, 1) > 0.5)
    return 4 * (float(inside[inside > 0].mean()) - 0.5)


def centre(digit: NDArray[Any]) -> Ink:
    """Put a digit of at most 20x20 pixels into a 28x28 image, its centre of mass at the centre."""
    image = np.zeros((SIDE, SIDE))
    # MNIST's own centres of mass lie at pixel 14 on average.
    start = np.rint(SIDE / 2 - np.array(ndimage.center_of_mass(digit))).astype(int)
    height, width = digit.shape
    top, left = np.clip(start, 0, (SIDE - height, SIDE - width))
    image[top : top + height, left : left + width] = digit
    return image


def _colours(picture: Image.Image) -> Colours:
    """The colours of a picture, opaque and of a working size: (H, W, 3) in 0..255."""
    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    picture.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    if picture.mode == "RGBA":
        pixels = np.asarray(picture, dtype=np.float64)
        grey = pixels[..., :3].mean(axis=2)
        alpha = pixels[..., 3] / 255
        mean = float((alpha * grey).sum() / max(alpha.sum(), 1))
        # Strokes must stand out.
        paper = "white" if mean < 128 else "black"
        background = Image.new("RGBA", picture.size, paper)
        picture = Image.alpha_composite(background, picture).convert("RGB")
    return np.asarray(picture, dtype=np.float64)


def _difference_from_background(colours: Colours) -> Colours:
    """Subtract a smooth background, a quadratic surface in each channel, from colours
    (H, W, 3).

    Paper under a lamp or at a window is that smooth. The surface is fitted repeatedly,
    each time without the pixels that are far from it, which are ink.
    """
    height, width, _ = colours.shape
    rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2], axis=-1).reshape(-1, 6)
    pixels = colours.reshape(-1, 3)
    # A sample of the pixels is enough.
    every = max(1, len(pixels) // 10_000)
    some_terms, some_pixels = terms[::every], pixels[::every]
    background = np.median(some_pixels, axis=0)
    residual = np.abs(some_pixels - background).max(axis=1)
    for _ in range(8):
        limit = max(2.5 * float(np.median(residual)), 4.0)
        near = residual <= limit
        surface, *_ = np.linalg.lstsq(some_terms[near], some_pixels[near], rcond=None)
        residual = np.abs(some_pixels - some_terms @ surface).max(axis=1)
    difference: Colours = pixels - terms @ surface
    return difference.reshape(colours.shape)


def _digit_alone(ink: Ink) -> Ink:
    """Remove dust, and the table beside the paper.

    Raises:
        UserError: too many parts are left for a digit.
    """
    parts, count = ndimage.label(ink > 0.5, EVERY_NEIGHBOUR)
    numbers = np.arange(1, count + 1)
    sizes = ndimage.sum_labels(ink > 0.5, parts, numbers)
    border = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    at_border = np.isin(numbers, border)
    # One for each part.
    boxes = filter(None, ndimage.find_objects(parts))
    lengths = np.array([max(side.stop - side.start for side in sides) for sides in boxes])
    # The digit touches the border of a tightly cropped picture. It does not if another
    # part is long enough for a digit.
    if np.any(~at_border & (lengths >= min(ink.shape) / 6)):
        sizes = np.where(at_border, 0, sizes)
    digit = numbers[sizes >= DUST * sizes.max()]
    if len(digit) > MOST_PARTS:
        raise UserError(f"it has {len(digit)} separate parts, too many for a digit")
    near = ndimage.binary_dilation(np.isin(parts, digit), iterations=2)
    return np.where(near, ink, 0.0)

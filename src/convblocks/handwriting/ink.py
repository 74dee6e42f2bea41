"""A person's picture of one digit, made into what MNIST looks like: 28x28 grey values, the digit light on black.

The steps are those of MNIST's authors (Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: "Gradient-based learning applied
to document recognition", 1998, section III): the digit's longer side becomes 20 pixels, its aspect kept, and its
centre of mass goes to the centre of a 28x28 field. What comes before them is to find the ink in any picture: it is
whatever differs from a smooth background, so dark on light, light on dark and coloured pictures are one case.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from convblocks.data.image_spec import MNIST
from convblocks.errors import UserError

Grey = NDArray[np.uint8]
Ink = NDArray[np.float64]

SIDE = MNIST.height
DIGIT_SIDE = 20  # the longer side of MNIST's digits

# Pictures are worked on at this size at most: the digit ends at 20 pixels anyway.
WORKING_SIDE = 400

# A stroke's least difference from the background, of 255, and in standard deviations of the background's noise.
LEAST_CONTRAST = 12.0
LEAST_CONTRAST_IN_NOISE = 8.0

# A part with less than this share of the largest part's area is no stroke.
DUST = 0.05

# Nobody writes a digit in more strokes than a few: noise, texture or a page of text is not one.
MOST_PARTS = 8

# Strokes are measured and adjusted at this many times MNIST's resolution.
ENLARGED = 8

# The width of MNIST's strokes in pixels, measured on its training images as ``stroke_width`` does: half of them lie
# between these two.
STROKE_WIDTHS = (2.1, 3.0)


def to_mnist(picture: Image.Image) -> Grey:
    """The digit in a picture as MNIST would hold it: (28, 28) uint8, 0 is background.

    Raises:
        UserError: there is nothing on the background, or far more than one digit.
    """
    # The strokes are adjusted where a pixel of the result is still several pixels wide.
    enlarged = adjust_strokes(fit(find_ink(picture), ENLARGED * DIGIT_SIDE))
    return np.rint(255 * centre(fit(enlarged, DIGIT_SIDE))).astype(np.uint8)


def fit(ink: Ink, side: int) -> Ink:
    """Crop to what is inked and scale its longer side to that many pixels, keeping the aspect."""
    rows, columns = np.nonzero(ink > 0.5)
    box = Image.fromarray(ink.astype(np.float32)).crop(
        (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    )
    scale = side / max(box.size)
    size = (max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    scaled: Ink = np.clip(np.asarray(box.resize(size, Image.Resampling.BILINEAR), dtype=np.float64), 0, 1)
    scaled /= scaled.max()  # a hairline fades when it is scaled down
    return scaled


def find_ink(picture: Image.Image) -> Ink:
    """How much ink each pixel of the digit holds, 0 to 1: (H, W).

    Raises:
        UserError: there is nothing on the background, or far more than one digit.
    """
    difference = _difference_from_background(_colours(picture))
    strength = np.sqrt((difference**2).mean(axis=2))
    noise = 1.4826 * float(np.median(strength))  # of most pixels, which are background
    strongest = float(np.quantile(strength, 1 - 2e-4))
    if strongest < max(LEAST_CONTRAST, LEAST_CONTRAST_IN_NOISE * noise):
        raise UserError("it is blank")
    # The ink has one colour: what differs in another direction, such as a highlight beside a shadow, is none.
    most_different = difference.reshape(-1, 3)[strength.argmax()]
    inked = (strength > strongest / 2) & (difference @ most_different > 0)
    colour = difference[inked].mean(axis=0)
    ink = difference @ colour / (colour @ colour)
    floor = float(np.clip(3 * noise / np.sqrt((colour**2).mean()), 0.05, 0.5))
    ink = np.clip((ink - floor) / (1 - floor), 0, 1)
    return _digit_alone(ink)


def stroke_width(ink: Ink) -> float:
    """The mean width of the strokes in pixels.

    Across a stroke of width w the mean distance to its edge is w/4, and that to the middle of the nearest pixel
    outside half a pixel more.
    """
    inside = ndimage.distance_transform_edt(np.pad(ink, 1) > 0.5)
    return 4 * (float(inside[inside > 0].mean()) - 0.5)


def adjust_strokes(ink: Ink) -> Ink:
    """Bring the strokes of an enlarged digit to the nearer end of the widths that MNIST's have."""
    width = stroke_width(ink)
    low, high = (ENLARGED * limit for limit in STROKE_WIDTHS)
    change = (float(np.clip(width, low, high)) - width) / 2
    if change == 0:
        return ink
    solid = np.pad(ink, 1 + max(0, round(change))) > 0.5
    # The signed distance from the strokes' edge, positive outside.
    distance = ndimage.distance_transform_edt(~solid) - ndimage.distance_transform_edt(solid)
    adjusted: Ink = np.clip(0.5 + change - distance, 0, 1)
    return adjusted


def centre(digit: NDArray[Any]) -> Ink:
    """Put a digit of at most 20x20 pixels into a 28x28 field, its centre of mass to the field's centre."""
    field = np.zeros((SIDE, SIDE))
    corner = []
    for length, middle in zip(digit.shape, ndimage.center_of_mass(digit), strict=True):
        start = round(SIDE / 2 - middle)  # pixel 14, on average, in MNIST itself
        corner.append(int(np.clip(start, 0, SIDE - length)))
    top, left = corner
    field[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return field


def _colours(picture: Image.Image) -> NDArray[np.float64]:
    """The picture opaque and of a working size: (H, W, 3) from 0 to 255."""
    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    picture.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX)
    if picture.mode == "RGBA":
        picture = _opaque(picture).convert("RGB")
    return np.asarray(picture, dtype=np.float64)


def _opaque(picture: Image.Image) -> Image.Image:
    """Put a transparent picture on a background from which its content stands out."""
    pixels = np.asarray(picture, dtype=np.float64)
    alpha = pixels[..., 3] / 255
    if alpha.mean() > 0.5:  # a card with transparent corners, say: more of the card
        background = np.median(pixels[alpha > 0.5][:, :3], axis=0)
    else:  # strokes alone: what is as far away from their colour as can be
        weight = max(float(alpha.sum()), 1.0)
        grey = float((alpha * pixels[..., :3].mean(axis=2)).sum()) / weight
        background = np.full(3, 255.0 if grey < 128 else 0.0)
    canvas = Image.new("RGBA", picture.size, tuple(int(value) for value in background))
    canvas.alpha_composite(picture)
    return canvas


def _difference_from_background(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """What remains of (H, W, 3) after a smooth background, a quadratic surface in each channel, is subtracted.

    The surface is fitted to most of the pixels: those far from it are ink, and are left out of the next fit. Paper
    under a lamp or at a window is that smooth.
    """
    height, width, _ = colours.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2], axis=-1).reshape(-1, 6)
    pixels = colours.reshape(-1, 3)
    every = max(1, len(pixels) // 10_000)  # enough of them to fit a surface to
    some_terms, some_pixels = terms[::every], pixels[::every]
    background = np.median(some_pixels, axis=0)
    residual = np.abs(some_pixels - background).max(axis=1)
    for _ in range(8):
        near = residual <= max(2.5 * float(np.median(residual)), 4.0)
        surface, *_ = np.linalg.lstsq(some_terms[near], some_pixels[near], rcond=None)
        residual = np.abs(some_pixels - some_terms @ surface).max(axis=1)
    difference: NDArray[np.float64] = (pixels - terms @ surface).reshape(colours.shape)
    return difference


def _digit_alone(ink: Ink) -> Ink:
    """Leave only what may belong to the digit: no dust, and no table beside the paper.

    Raises:
        UserError: too much is left for one digit.
    """
    solid = ink > 0.5
    parts, count = ndimage.label(solid, structure=np.ones((3, 3)))
    numbers = np.arange(1, count + 1)
    sizes = ndimage.sum_labels(solid, parts, numbers)
    at_border = np.isin(numbers, np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    boxes = filter(None, ndimage.find_objects(parts))  # one for each part
    lengths = np.array([max(side.stop - side.start for side in sides) for sides in boxes])
    # A digit may touch the border of a picture that was cut out narrowly; not so where another part may be the digit.
    if np.any(~at_border & (lengths >= min(ink.shape) / 6)):
        sizes = np.where(at_border, 0, sizes)
    kept = numbers[sizes >= DUST * sizes.max()]
    if len(kept) > MOST_PARTS:
        raise UserError(f"it shows no digit, but {len(kept)} separate parts")
    near = ndimage.binary_dilation(np.isin(parts, kept), iterations=2)
    return np.where(near, ink, 0.0)

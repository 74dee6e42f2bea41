"""Pictures of digits become images like MNIST's."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy import ndimage

from convblocks.data.images import ImageSets
from convblocks.errors import UserError
from convblocks.handwriting.ink import STROKE_WIDTHS, stroke_width, to_mnist
from convblocks.model.restore import load_network


def digit_picture(digits: ImageSets, index: int = 0) -> Image.Image:
    """A real digit, ten times its size, dark on white."""
    grey = Image.fromarray(255 - digits.test.images[index, 0].numpy())
    return grey.resize((280, 280), Image.Resampling.BICUBIC)


def test_mnists_digits_stay_recognisable(trained: Path, digits: ImageSets) -> None:
    images, labels = digits.test.images[:300], digits.test.labels[:300]
    seen = torch.from_numpy(
        np.stack([to_mnist(Image.fromarray(image[0].numpy()))[None] for image in images])
    )
    network = load_network(trained)
    right, as_they_are = (
        (network.logits(batch).argmax(1) == labels).sum() for batch in (seen, images)
    )
    assert right >= as_they_are - 0.02 * 300


@pytest.mark.parametrize("index", range(3))
def test_digit_is_20_pixels_long_and_its_mass_in_the_middle(index: int, digits: ImageSets) -> None:
    seen = to_mnist(digit_picture(digits, index))
    assert (seen.shape, seen.dtype.name) == ((28, 28), "uint8")
    assert seen.max() >= 250
    rows, columns = np.nonzero(seen > 60)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
    assert ndimage.center_of_mass(seen) == pytest.approx((14, 14), abs=0.6)


def on_transparency(picture: Image.Image, pen: str) -> Image.Image:
    strokes = Image.new("RGBA", picture.size, pen)
    strokes.putalpha(ImageOps.invert(picture))
    return strokes


def photo(picture: Image.Image) -> Image.Image:
    """In uneven light, with dust, on a dark table."""
    pixels = np.asarray(picture, dtype=float) * np.linspace(0.5, 1, 280)
    pixels += np.random.default_rng(0).normal(0, 3, pixels.shape)
    pixels[20:23, 20:23] = 0
    pixels[:, 268:] = 20
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


MODES = ("1", "LA", "P", "RGBA", "CMYK")
INKS = [("navy", "white"), ("#3030ff", "#ff3030"), ("yellow", "black")]
GUISES: dict[str, tuple[Callable[[Image.Image], Image.Image], float]] = {
    **{
        mode: (partial(Image.Image.convert, mode=mode, dither=Image.Dither.NONE), 0.08)
        for mode in MODES
    },
    "light on dark": (ImageOps.invert, 0),
    **{
        f"{ink} on {paper}": (partial(ImageOps.colorize, black=ink, white=paper), 0.02)
        for ink, paper in INKS
    },
    **{
        f"{pen} on nothing": (partial(on_transparency, pen=pen), 0.02)
        for pen in ("black", "white", "red")
    },
    "a photo": (photo, 0.08),
}


@pytest.mark.parametrize("guise", GUISES)
def test_digit_is_the_same_in_any_guise(guise: str, digits: ImageSets) -> None:
    """By the mean difference of two images, as a share of the ink in both."""
    disguise, most = GUISES[guise]
    picture = digit_picture(digits)
    plain, disguised = to_mnist(picture).astype(float), to_mnist(disguise(picture)).astype(float)
    assert np.abs(plain - disguised).mean() / (plain.mean() + disguised.mean()) <= most


@pytest.mark.parametrize("pen", [1, 6, 40])
def test_strokes_of_any_pen_become_as_wide_as_mnists(pen: int) -> None:
    """A bar of the pen's width across a picture of 400x400."""
    ink = np.zeros((400, 400), dtype=np.uint8)
    ink[2:398, 200 : 200 + pen] = 255
    enlarged = np.asarray(
        Image.fromarray(to_mnist(Image.fromarray(ink))).resize(
            (224, 224), Image.Resampling.BILINEAR
        )
    )
    low, high = STROKE_WIDTHS
    assert 8 * (low - 0.7) < stroke_width(enlarged / 255) < 8 * (high + 0.7)


@pytest.mark.parametrize("grey", [0, 128])
@pytest.mark.parametrize("noise", [0, 6, 40])
def test_blank_noisy_and_transparent_pictures_are_refused(grey: int, noise: int) -> None:
    pixels = np.clip(grey + np.random.default_rng(0).normal(0, noise, (120, 200)), 0, 255).astype(
        np.uint8
    )
    small = [Image.new("L", size, grey) for size in ((1, 1), (3, 3))]
    for picture in (Image.fromarray(pixels), *small, Image.new("RGBA", (50, 50), (grey, 0, 0, 0))):
        with pytest.raises(UserError, match=r"it is blank|it has \d+ separate parts, too many"):
            to_mnist(picture)

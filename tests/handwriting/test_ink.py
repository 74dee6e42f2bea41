"""Pictures of digits become images like MNIST's, which are doubted if they hardly are digits."""

import contextlib
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy import ndimage

from convblocks.data.images import MNIST, ImageSets
from convblocks.errors import UserError
from convblocks.handwriting.ink import STROKE_WIDTHS, stroke_width, to_mnist
from convblocks.handwriting.sight import doubt, look
from convblocks.model.restore import load_network
from convblocks.pictures.decoding import read_picture
from lab.benchmarks.handwriting.drawing import draw_all


def digit_picture(digits: ImageSets, index: int = 0) -> Image.Image:
    """A real digit, ten times its size, dark on white."""
    grey = Image.fromarray(255 - digits.test.images[index, 0].numpy())
    return grey.resize((280, 280), Image.Resampling.BICUBIC)


@pytest.mark.nightly
def test_drawings_that_are_not_mnists_are_recognised(trained: Path) -> None:
    """At least 90 % of all, and at least 80 % of 30 or more of every digit."""
    drawings = list(draw_all(seed=0))
    seen = torch.from_numpy(np.stack([look(one.content, MNIST)[1] for one in drawings]))
    true = torch.tensor([one.digit for one in drawings])
    right = (load_network(trained).logits(seen).argmax(1) == true).float()
    assert right.mean() >= 0.9
    assert true.bincount(minlength=10).min() >= 30
    assert min(right[true == digit].mean() for digit in range(10)) >= 0.8


def test_mnists_own_digits_stay_recognisable(trained: Path, digits: ImageSets) -> None:
    images, labels = digits.test.images[:300], digits.test.labels[:300]
    seen = torch.from_numpy(np.stack([to_mnist(Image.fromarray(image[0].numpy()))[None] for image in images]))
    right, as_they_are = ((load_network(trained).logits(one).argmax(1) == labels).sum() for one in (seen, images))
    assert right >= as_they_are - 0.02 * 300


@pytest.mark.parametrize("index", range(5))
def test_the_digit_is_20_pixels_long_and_its_mass_in_the_middle(index: int, digits: ImageSets) -> None:
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


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
INKS = [("navy", "white"), ("#3030ff", "#ff3030"), ("yellow", "black")]
GUISES: dict[str, tuple[Callable[[Image.Image], Image.Image], float]] = {
    **{mode: (partial(Image.Image.convert, mode=mode, dither=Image.Dither.NONE), 0.08) for mode in MODES},
    "light on dark": (ImageOps.invert, 0),
    **{f"{ink} on {paper}": (partial(ImageOps.colorize, black=ink, white=paper), 0.02) for ink, paper in INKS},
    **{f"{pen} on nothing": (partial(on_transparency, pen=pen), 0.02) for pen in ("black", "white", "red")},
    "a photo": (photo, 0.08),
}


@pytest.mark.parametrize("guise", GUISES)
def test_a_digit_is_the_same_in_any_guise(guise: str, digits: ImageSets) -> None:
    """By the mean difference of two images, as a share of the ink in both."""
    disguise, most = GUISES[guise]
    plain = digit_picture(digits)
    one, other = to_mnist(plain).astype(float), to_mnist(disguise(plain)).astype(float)
    assert np.abs(one - other).mean() / (one.mean() + other.mean()) <= most


@pytest.mark.parametrize("pen", [1, 2, 6, 40])
def test_any_pen_writes_as_mnists_do(pen: int) -> None:
    """A bar of the pen's width across a picture of 400x400."""
    ink = np.zeros((400, 400), dtype=np.uint8)
    ink[2:398, 200 : 200 + pen] = 255
    enlarged = np.asarray(Image.fromarray(to_mnist(Image.fromarray(ink))).resize((224, 224), Image.Resampling.BILINEAR))
    low, high = STROKE_WIDTHS
    assert 8 * (low - 0.7) < stroke_width(enlarged / 255) < 8 * (high + 0.7)


@pytest.mark.parametrize("width", [2, 5, 12])
def test_a_strokes_width_is_measured(width: int) -> None:
    ink = np.zeros((200, 60))
    ink[:, 20 : 20 + width] = 1
    assert stroke_width(ink) == pytest.approx(width, abs=0.35)


def test_of_two_colours_on_a_background_between_them_one_is_seen() -> None:
    pixels = np.full((100, 100), 128, dtype=np.uint8)
    pixels[20:80, 30:36] = 0
    pixels[20:80, 60:66] = 255
    (columns,) = np.nonzero(to_mnist(Image.fromarray(pixels)).max(axis=0) > 60)
    assert np.ptp(columns) < 6


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("noise", [0, 2, 6, 40])
def test_blank_noisy_and_transparent_pictures_are_refused(grey: int, noise: int) -> None:
    pixels = np.clip(grey + np.random.default_rng(0).normal(0, noise, (120, 200)), 0, 255).astype(np.uint8)
    small = [Image.new("L", size, grey) for size in ((1, 1), (1, 40), (3, 3))]
    for picture in (Image.fromarray(pixels), *small, Image.new("RGBA", (50, 50), (grey, 0, 0, 0))):
        with pytest.raises(UserError, match=r"it is blank|it has \d+ separate parts, too many"):
            to_mnist(picture)


KINDS = ["JPEG", *(pytest.param(kind, marks=pytest.mark.nightly) for kind in ("PNG", "WEBP", "GIF", "BMP"))]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind: str, digits: ImageSets) -> None:
    """200 files with a few bytes changed: each is read or raises a UserError."""
    random, exif, file = np.random.default_rng(0), Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    digit_picture(digits).resize((84, 84)).save(file, kind, exif=exif)
    for _ in range(200):
        content = bytearray(file.getvalue())
        for at in random.integers(0, min(len(content), 300), size=4):
            content[at] = random.integers(256)
        with contextlib.suppress(UserError):
            assert to_mnist(read_picture(bytes(content))).shape == (28, 28)


LINES = [(row, 4, row + 2, 24) for row in range(4, 24, 4)]
GRID = [*((row, 4, row + 1, 23) for row in (4, 12, 20)), *((4, column, 21, column + 1) for column in (4, 10, 16, 22))]


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        (LINES, "5 separate parts"),
        (GRID, "6 holes"),
        ([(4, 4, 24, 24)], "51 % inked"),
        ([(13, 4, 14, 16)], "only 2 % inked"),
    ],
)
def test_the_doubt_names_its_reason(boxes: list[tuple[int, int, int, int]], reason: str) -> None:
    seen = np.zeros((1, 28, 28), np.uint8)
    for top, left, bottom, right in boxes:
        seen[0, top:bottom, left:right] = 255
    assert doubt(seen) == reason


def test_of_mnists_digits_fewer_than_three_in_a_thousand_are_doubted(digits: ImageSets) -> None:
    assert 0 < sum(doubt(one) is not None for one in digits.train.images[:10_000].numpy()) < 30

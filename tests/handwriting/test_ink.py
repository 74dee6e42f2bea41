"""Pictures of digits become images like MNIST's."""

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy import ndimage

from benchmarks.handwriting.drawing import draw_all
from benchmarks.handwriting.results import Results
from benchmarks.pages import read_raw_numbers
from convblocks.data.images import ImageSets
from convblocks.data.pictures import LARGEST_PICTURE, read_picture
from convblocks.errors import UserError
from convblocks.evaluation.trained import load_network
from convblocks.handwriting.ink import STROKE_WIDTHS, stroke_width, to_mnist


def digit_picture(digits: ImageSets, index: int = 0) -> Image.Image:
    """A real digit, ten times its size, dark on white."""
    grey = Image.fromarray(255 - digits.test.images[index, 0].numpy())
    return grey.resize((280, 280), Image.Resampling.BICUBIC)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The mean difference of two images relative to the ink in both."""
    first, second = one.astype(float), other.astype(float)
    return float(np.abs(first - second).mean() / (first.mean() + second.mean()))


def test_pictures_that_are_not_mnists_are_recognised(handwriting: Path) -> None:
    """At least 90 % of 300 pictures or more, and at least 80 % of 30 or more for every digit."""
    results = read_raw_numbers(handwriting / "data", "handwriting", Results)
    (network,) = results.networks
    true = np.array([drawn.digit for drawn in results.drawn])
    right = np.array(network.answers) == true
    assert len(results.drawn) >= 300
    assert len({(drawn.digit, drawn.form) for drawn in results.drawn if drawn.kind == "strokes"}) >= 40
    assert right.mean() >= 0.9
    for digit in range(10):
        assert np.sum(true == digit) >= 30
        assert right[true == digit].mean() >= 0.8, digit


def test_the_same_seed_draws_the_same_pictures() -> None:
    first, again, other = (next(iter(draw_all(seed))).content for seed in (5, 5, 6))
    assert first == again != other


@pytest.mark.slow
def test_mnists_own_digits_stay_recognisable(trained: Path, digits: ImageSets) -> None:
    images, labels = digits.test.images[:300], digits.test.labels[:300]
    seen = torch.from_numpy(np.stack([to_mnist(Image.fromarray(image[0].numpy()))[None] for image in images]))
    network = load_network(trained)
    as_they_are = (network.logits(images).argmax(1) == labels).float().mean()
    assert (network.logits(seen).argmax(1) == labels).float().mean() >= as_they_are - 0.02


@pytest.mark.parametrize("index", range(5))
def test_the_digit_is_20_pixels_long_and_its_mass_in_the_middle(index: int, digits: ImageSets) -> None:
    seen = to_mnist(digit_picture(digits, index))
    assert seen.shape == (28, 28)
    assert seen.dtype == np.uint8
    assert seen.max() >= 250
    rows, columns = np.nonzero(seen > 60)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
    assert ndimage.center_of_mass(seen) == pytest.approx((14, 14), abs=0.6)


def test_light_on_dark_is_dark_on_light(digits: ImageSets) -> None:
    dark = digit_picture(digits)
    assert np.array_equal(to_mnist(dark), to_mnist(ImageOps.invert(dark)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_kind_of_pixel_is_read(mode: str, digits: ImageSets) -> None:
    grey = digit_picture(digits)
    assert difference(to_mnist(grey.convert(mode, dither=Image.Dither.NONE)), to_mnist(grey)) < 0.08


def test_deep_greys_are_read(digits: ImageSets) -> None:
    grey = digit_picture(digits)
    file = io.BytesIO()
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 200).save(file, "TIFF")
    picture = read_picture(file.getvalue())
    assert picture.mode == "L"
    assert difference(to_mnist(picture), to_mnist(grey)) < 0.02


@pytest.mark.parametrize(("paper", "pen"), [("white", "navy"), ("#ff3030", "#3030ff"), ("black", "yellow")])
def test_colours_do_not_matter(paper: str, pen: str, digits: ImageSets) -> None:
    grey = digit_picture(digits)
    assert difference(to_mnist(ImageOps.colorize(grey, pen, paper)), to_mnist(grey)) < 0.02


@pytest.mark.parametrize("colour", ["black", "white", "red"])
def test_strokes_on_transparency_are_seen(colour: str, digits: ImageSets) -> None:
    grey = digit_picture(digits)
    picture = Image.new("RGBA", grey.size, colour)
    picture.putalpha(ImageOps.invert(grey))
    assert difference(to_mnist(picture), to_mnist(grey)) < 0.02


def test_a_card_with_transparent_corners_is_a_card(digits: ImageSets) -> None:
    grey = digit_picture(digits)
    card = grey.convert("RGBA")
    card.paste((0, 0, 0, 0), (0, 0, 30, 30))
    assert difference(to_mnist(card), to_mnist(grey)) < 0.02


@pytest.mark.parametrize("turn", [(6, Image.Transpose.ROTATE_90), (3, Image.Transpose.ROTATE_180)])
def test_a_photo_is_turned_as_its_camera_says(turn: tuple[int, Image.Transpose], digits: ImageSets) -> None:
    orientation, transpose = turn
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    digit_picture(digits).transpose(transpose).save(file, "JPEG", quality=95, exif=exif)
    assert difference(to_mnist(read_picture(file.getvalue())), to_mnist(digit_picture(digits))) < 0.05


def test_uneven_light_dust_and_a_dark_table_are_not_ink(digits: ImageSets) -> None:
    random = np.random.default_rng(0)
    grey = np.asarray(digit_picture(digits), dtype=float)
    lit = grey * np.linspace(0.5, 1, 280)[None] + random.normal(0, 3, grey.shape)
    lit[20:23, 20:23] = 0
    lit[:, 268:] = 20
    photo = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    assert difference(to_mnist(photo), to_mnist(digit_picture(digits))) < 0.08


@pytest.mark.parametrize("pen", [1, 2, 6, 40])
def test_any_pen_writes_as_mnists_do(pen: int) -> None:
    """A bar of the pen's width across a picture of 400x400."""
    ink = np.zeros((400, 400), dtype=np.uint8)
    ink[2:398, 200 : 200 + pen] = 255
    enlarged = np.asarray(Image.fromarray(to_mnist(Image.fromarray(ink))).resize((224, 224), Image.Resampling.BILINEAR))
    low, high = STROKE_WIDTHS
    assert 8 * (low - 0.7) < stroke_width(enlarged / 255) < 8 * (high + 0.7)


def test_of_two_colours_on_a_background_between_them_one_is_seen() -> None:
    pixels = np.full((100, 100), 128, dtype=np.uint8)
    pixels[20:80, 30:36] = 0
    pixels[20:80, 60:66] = 255
    seen = to_mnist(Image.fromarray(pixels))
    (columns,) = np.nonzero(seen.max(axis=0) > 60)
    assert np.ptp(columns) < 6


@pytest.mark.parametrize("width", [2, 5, 12])
def test_a_strokes_width_is_measured(width: int) -> None:
    ink = np.zeros((200, 60))
    ink[:, 20 : 20 + width] = 1
    assert stroke_width(ink) == pytest.approx(width, abs=0.35)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_blank_pictures_are_refused(grey: int) -> None:
    with pytest.raises(UserError, match="it is blank"):
        to_mnist(Image.new("L", (120, 200), grey))


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("noise", [2, 6, 40])
def test_noise_is_not_a_digit(grey: int, noise: int) -> None:
    pixels = grey + np.random.default_rng(0).normal(0, noise, (120, 200))
    with pytest.raises(UserError, match=r"it is blank|it has \d+ separate parts, too many"):
        to_mnist(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))


def test_a_fully_transparent_picture_is_blank() -> None:
    with pytest.raises(UserError, match="it is blank"):
        to_mnist(Image.new("RGBA", (50, 50), (200, 0, 0, 0)))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 3)])
def test_tiny_pictures_are_handled(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="it is blank"):
        to_mnist(Image.new("L", size, 255))
    dot = Image.new("L", (9, 9), 255)
    dot.putpixel((4, 4), 0)
    assert to_mnist(dot).shape == (28, 28)


def test_unreadable_files_are_refused(tmp_path: Path, digits: ImageSets) -> None:
    (tmp_path / "text.png").write_text("no picture")
    digit_picture(digits).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:300])
    for name, message in (
        ("missing.png", r"cannot be read \(No such file"),
        ("text.png", "not a picture of a known format"),
        ("cut.png", "cannot be read"),
        (".", r"cannot be read \(Is a directory\)"),
    ):
        with pytest.raises(UserError, match=message):
            read_picture(tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("picture_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_damaged_files_are_read_or_refused(picture_format: str, digits: ImageSets) -> None:
    """200 files of a format with a few bytes changed: each is read or raises a UserError."""
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    digit_picture(digits).resize((84, 84)).save(file, picture_format, exif=exif)
    for _ in range(200):
        content = bytearray(file.getvalue())
        for at in random.integers(0, min(len(content), 300), size=4):
            content[at] = random.integers(256)
        with contextlib.suppress(UserError):
            assert to_mnist(read_picture(bytes(content))).shape == (28, 28)


@pytest.mark.parametrize("side", [13_000, 60_000])
def test_a_decompression_bomb_is_refused_unopened(side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    assert side**2 > LARGEST_PICTURE
    with pytest.raises(UserError, match="too large"):
        read_picture(bomb)

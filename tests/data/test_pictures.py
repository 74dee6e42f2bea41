"""Every picture file is read as a viewer shows it, or refused in one line."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convblocks.data.pictures import LARGEST_FILE, read_header, read_picture, to_picture, to_pixels
from convblocks.errors import UserError
from tests.data.pictures import draw

SIZE = 24, 32  # height and width


@pytest.fixture
def picture() -> Image.Image:
    """In colour, and not square."""
    return draw("triangle", SIZE, np.random.default_rng(0))


def saved(picture: Image.Image, path: Path, exif: Image.Exif | None = None) -> Path:
    picture.save(path, exif=exif or Image.Exif())
    return path


def orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def pixels_of(path: Path, channels: int) -> NDArray[np.uint8]:
    return to_pixels(read_picture(path), channels, *SIZE)


@pytest.mark.parametrize(
    ("mode", "ending", "grey"),
    [
        ("1", "png", True),
        ("L", "png", True),
        ("LA", "png", True),
        ("P", "png", False),
        ("RGB", "png", False),
        ("RGBA", "png", False),
        ("CMYK", "jpg", False),
        ("YCbCr", "jpg", False),
        ("L", "jpg", True),
        ("L", "bmp", True),
        ("RGB", "bmp", False),
        ("RGB", "webp", False),
        ("L", "gif", False),
    ],
)
def test_every_kind_of_pixel_is_read(mode: str, ending: str, grey: bool, picture: Image.Image, tmp_path: Path) -> None:
    path = saved(picture.convert(mode, dither=Image.Dither.NONE), tmp_path / f"picture.{ending}")
    assert read_header(path) == (*SIZE, grey)
    if ending == "gif":
        picture = picture.convert("L")
    for channels, seen in ((1, picture.convert("L")), (3, picture if not grey else picture.convert("L"))):
        pixels = pixels_of(path, channels)
        assert pixels.shape == (channels, *SIZE)
        assert pixels.dtype == np.uint8
        if mode != "1":
            assert np.abs(to_pixels(seen, channels, *SIZE).astype(float) - pixels).mean() < 12  # JPEG and palettes lose


@pytest.mark.parametrize("ending", ["png", "bmp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_are_read_exactly(ending: str, channels: int, picture: Image.Image, tmp_path: Path) -> None:
    pixels = to_pixels(picture, channels, *SIZE)
    path = saved(to_picture(pixels), tmp_path / f"picture.{ending}")
    assert np.array_equal(pixels_of(path, channels), pixels)


def test_sixteen_bits_of_grey_become_eight(picture: Image.Image, tmp_path: Path) -> None:
    grey = np.asarray(picture.convert("L"))
    path = saved(Image.fromarray(grey.astype(np.uint16) * 257), tmp_path / "deep.png")
    with Image.open(path) as opened:
        assert opened.mode == "I;16"
    assert read_header(path) == (*SIZE, True)
    assert np.array_equal(pixels_of(path, 1)[0], grey)


def test_sixteen_bits_of_grey_are_stretched_if_asked_for(tmp_path: Path) -> None:
    faint = np.full(SIZE, 1000, dtype=np.uint16)
    faint[:, :5] = 1100
    stretched = np.asarray(read_picture(saved(Image.fromarray(faint), tmp_path / "faint.png"), stretch=True))
    assert (stretched[:, :5] == 255).all()
    assert (stretched[:, 5:] == 0).all()


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_pixels_without_a_known_white_are_refused(mode: str, tmp_path: Path) -> None:
    path = saved(Image.new(mode, SIZE[::-1]), tmp_path / "odd.tif")
    with pytest.raises(UserError, match=rf"its pixels \(mode {mode}\) are not supported: save it as 8-bit grey or RGB"):
        read_picture(path)


def test_transparent_areas_become_white(tmp_path: Path) -> None:
    half = Image.new("RGBA", SIZE[::-1], (200, 0, 0, 255))
    half.paste((0, 0, 0, 0), (0, 0, 16, 24))
    pixels = pixels_of(saved(half, tmp_path / "half.png"), 3)
    assert (pixels[:, :, :16] == 255).all()
    assert (pixels[:, :, 16:] == np.array([200, 0, 0])[:, None, None]).all()


def test_a_picture_is_scaled_to_the_size_that_is_asked_for(tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (50, 20), (10, 20, 30)), tmp_path / "wide.png")
    assert (to_pixels(read_picture(path), 3, 8, 9) == np.array([10, 20, 30])[:, None, None]).all()


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("number", range(1, 9))
def test_header_and_pixels_agree_on_how_a_photo_is_turned(
    ending: str, number: int, picture: Image.Image, tmp_path: Path
) -> None:
    path = saved(picture, tmp_path / f"photo.{ending}", orientation(number))
    height, width, grey = read_header(path)
    assert read_picture(path).size == (width, height)
    assert (height, width) == (SIZE if number < 5 else SIZE[::-1])
    assert not grey


def test_an_orientation_behind_a_pngs_pixels_is_found(picture: Image.Image, tmp_path: Path) -> None:
    path = saved(picture, tmp_path / "photo.png")
    content, exif = path.read_bytes(), orientation(6).tobytes().removeprefix(b"Exif\0\0")
    path.write_bytes(content[:-12] + chunk(b"eXIf", exif) + content[-12:])  # before IEND
    height, width, _ = read_header(path)
    assert read_picture(path).size == (width, height) == SIZE


def test_a_header_is_read_without_decoding_the_pixels(picture: Image.Image, tmp_path: Path) -> None:
    path = saved(picture, tmp_path / "picture.png")
    content = path.read_bytes()
    start = content.index(b"IDAT")
    path.write_bytes(content[: start + 8] + b"\xff" * 40 + content[start + 48 :])
    assert read_header(path) == (*SIZE, False)
    with pytest.raises(UserError, match=r"it is damaged|it cannot be read"):
        read_picture(path)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file."""
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def test_files_that_are_not_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name, message in (
        ("text.png", "not a picture of a known format"),
        ("empty.png", "not a picture of a known format"),
        ("folder.png", r"cannot be read \(Is a directory\)"),
        ("pipe.png", "not a regular file"),
        ("missing.png", r"cannot be read \(No such file or directory\)"),
    ):
        for read in (read_picture, read_header):
            with pytest.raises(UserError, match=message):
                read(tmp_path / name)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp", "tif"])
def test_a_truncated_picture_is_refused(ending: str, picture: Image.Image, tmp_path: Path) -> None:
    path = saved(picture, tmp_path / f"cut.{ending}")
    os.truncate(path, path.stat().st_size * 2 // 3)
    with pytest.raises(UserError, match=r"it cannot be read|it is damaged|not a picture"):
        read_picture(path)


def test_one_wrong_bit_of_a_png_is_refused(picture: Image.Image, tmp_path: Path) -> None:
    path = saved(picture, tmp_path / "bit.png")
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"it cannot be read|it is damaged"):
        read_picture(path)


def test_huge_pictures_are_refused_unopened(tmp_path: Path) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    (tmp_path / "long.png").touch()
    os.truncate(tmp_path / "long.png", LARGEST_FILE + 1)  # sparse: it takes no disk space
    for read in (read_picture, read_header):
        with pytest.raises(UserError, match="far too large"):
            read(tmp_path / "bomb.png")
    with pytest.raises(UserError, match="too large for a picture"):
        read_picture(tmp_path / "long.png")


def test_the_content_of_a_file_will_do(picture: Image.Image) -> None:
    file = io.BytesIO()
    picture.save(file, "PNG")
    assert np.array_equal(to_pixels(read_picture(file.getvalue()), 3, *SIZE), to_pixels(picture, 3, *SIZE))

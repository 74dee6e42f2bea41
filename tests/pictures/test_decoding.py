"""A picture file is read as a viewer shows it, or refused in one line; many are decoded
on all cores, in order.
"""

import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from convblocks.errors import DataError, UserError
from convblocks.pictures.decoding import FEW, decode, for_all, read_picture, read_shape, to_pixels
from tests.data.pictures import draw
from tests.hostile.spoil import flipped

SIZE = 24, 32  # height and width


@pytest.fixture
def picture() -> Image.Image:
    """In colour, and not square."""
    return draw("triangle", SIZE, np.random.default_rng(0))


def saved(picture: Image.Image, path: Path, orientation: int | None = None) -> Path:
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    picture.save(path, exif=exif)
    return path


def pixels_of(path: Path, channels: int) -> NDArray[np.uint8]:
    return to_pixels(read_picture(path), channels, *SIZE)


KINDS = (
    "1.png L.png LA.png P.png RGB.png RGBA.png "
    "CMYK.jpg YCbCr.jpg L.jpg L.bmp RGB.bmp RGB.webp L.gif"
)


@pytest.mark.parametrize("kind", KINDS.split())
def test_picture_of_every_kind_of_pixel_is_read(
    kind: str, picture: Image.Image, tmp_path: Path
) -> None:
    mode, _, ending = kind.partition(".")
    converted = picture.convert(mode, dither=Image.Dither.NONE)
    path = saved(converted, tmp_path / kind)
    assert read_shape(path) == (1 if mode in ("1", "L", "LA") and ending != "gif" else 3, *SIZE)
    lossy = 12 if ending in ("jpg", "webp", "gif") else 0
    for channels in (1, 3):
        pixels, expected = pixels_of(path, channels), to_pixels(converted, channels, *SIZE)
        assert pixels.shape == (channels, *SIZE)
        assert pixels.dtype == np.uint8
        assert np.abs(expected.astype(float) - pixels).mean() <= lossy


def test_picture_is_white_where_it_is_transparent(tmp_path: Path) -> None:
    half = Image.new("RGBA", SIZE[::-1], (200, 0, 0, 255))
    half.paste((0, 0, 0, 0), (0, 0, 16, 24))
    pixels = pixels_of(saved(half, tmp_path / "half.png"), 3)
    assert (pixels[:, :, :16] == 255).all()
    assert (pixels[:, :, 16:] == np.array([200, 0, 0])[:, None, None]).all()


@pytest.mark.parametrize("ending", ["jpg", "webp", "tif", "png"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_picture_is_turned_upright_in_header_and_pixels_unless_it_is_a_png(
    ending: str, orientation: int, picture: Image.Image, tmp_path: Path
) -> None:
    path = saved(picture, tmp_path / f"photo.{ending}", orientation)
    height, width = SIZE[::-1] if orientation > 4 and ending != "png" else SIZE
    assert read_shape(path) == (3, height, width)
    assert read_picture(path).size == (width, height)


@pytest.mark.parametrize("read", [read_picture, read_shape])
def test_picture_that_is_none_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    for name, message in (
        ("text.png", "not a picture of a known format"),
        ("folder.png", r"cannot be read \(Is a directory\)"),
        ("missing.png", r"cannot be read \(No such file or directory\)"),
    ):
        with pytest.raises(UserError, match=message):
            read(tmp_path / name)


def test_picture_that_is_damaged_or_has_pixels_without_a_known_white_is_refused(
    picture: Image.Image, tmp_path: Path
) -> None:
    path = saved(picture, tmp_path / "bit.png")
    flipped(path.read_bytes().index(b"IDAT") + 100)(path)
    assert read_shape(path) == (3, *SIZE)  # a header is read without the pixels
    with pytest.raises(UserError, match=r"it cannot be read \("):
        read_picture(path)
    for ending in ("png", "jpg", "bmp", "webp", "tif"):
        path = saved(picture, tmp_path / f"cut.{ending}")
        os.truncate(path, path.stat().st_size * 2 // 3)
        with pytest.raises(UserError, match=r"it cannot be read \(|not a picture"):
            read_picture(path)
    for mode in ("I;16", "I", "F", "LAB"):
        with pytest.raises(UserError, match=rf"its pixels \(mode {mode}\) are not supported"):
            read_picture(saved(Image.new(mode, SIZE[::-1]), tmp_path / "odd.tif"))


# Many pictures, on all cores.

SHAPE = (3, 4, 5)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Colour pictures whose values are their index."""
    folder = tmp_path_factory.mktemp("many")
    paths = [folder / f"{number}.png" for number in range(FEW + 100)]
    for number, path in enumerate(paths):
        pixels = np.full((4, 5, 3), (number // 256, number % 256, 7), dtype=np.uint8)
        Image.fromarray(pixels).save(path, compress_level=1)
    return paths


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are not forked")
@pytest.mark.parametrize("count", [FEW, FEW + 100])
def test_pictures_are_read_in_their_order_and_by_all_cores_if_they_are_many(
    count: int, many: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Mock(wraps=ForkProcess.start)
    monkeypatch.setattr(ForkProcess, "start", lambda process: started(process))
    Image.new("L", (3, 2)).save(grey := many[0].with_name("grey.png"))
    random_state = torch.get_rng_state()
    shapes = [*for_all([*many[1:count], grey], read_shape)]
    assert shapes == [SHAPE] * (count - 1) + [(1, 2, 3)]
    images = decode(many[:count], SHAPE)
    assert images.shape == (count, *SHAPE)
    assert (256 * images[:, 0].int() + images[:, 1] == torch.arange(count).view(-1, 1, 1)).all()
    assert (images[:, 2] == 7).all()
    assert torch.equal(torch.get_rng_state(), random_state)  # otherwise weights would depend on it
    assert started.call_count == (2 * len(os.sched_getaffinity(0)) if count > FEW else 0)


def test_pictures_that_are_damaged_are_refused_by_the_name_of_the_first(
    many: list[Path], tmp_path: Path
) -> None:
    """Regardless of which process is faster."""
    paths = [Path(shutil.copy(path, tmp_path)) for path in many]
    for index in (70, 400):
        paths[index].write_text("no picture")
    before = multiprocessing.active_children()
    for read in (
        lambda paths: list(for_all(paths, read_shape)),
        lambda paths: decode(paths, SHAPE),
    ):
        with pytest.raises(DataError, match=r"cannot use the picture .*/70\.png: "):
            read(paths)
        assert multiprocessing.active_children() == before

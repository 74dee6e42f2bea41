"""One picture file, read with care: people's pictures are damaged, huge, turned, transparent, and in any format."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from convblocks.errors import UserError

# More pixels than any camera's, and more bytes than they take: such a file is broken, or made to exhaust the memory.
LARGEST_PICTURE = 150_000_000
LARGEST_FILE = 500_000_000

# What has no colours, in Pillow's names.
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "F")

# What Exif says of a picture that lies on its side (Exif 2.3, tag 274).
LYING = (5, 6, 7, 8)

# Where a PNG says so. Some programs write it behind the pixels, and Pillow decodes these to look for it there.
PNG_ORIENTATION = (b"eXIf", b"Raw profile type exif", b"com.adobe.xmp")


def read_picture(
    source: Path | bytes, most_pixels: int = LARGEST_PICTURE, side: int | None = None, stretch: bool = False
) -> Image.Image:
    """Read a picture file, or the content of one: upright, with 8 bits a channel.

    Args:
        source: The file, or what it holds.
        most_pixels: How large it may be.
        side: If no more pixels than that are needed each way: a JPEG is then decoded at a fraction of its size.
        stretch: Whether of 16-bit greys the darkest becomes 0 and the lightest 255; otherwise 65,535 becomes 255.

    Raises:
        UserError: it is missing, not a picture, damaged, or has too many pixels.
    """
    with _told_in_one_line():
        content = _read_file(source) if isinstance(source, Path) else source
        Image.open(io.BytesIO(content)).verify()  # the checksums, of PNG say: nothing else looks at them
        picture = Image.open(io.BytesIO(content))
        if picture.width * picture.height > most_pixels:
            raise UserError(f"it is too large ({picture.width:,} x {picture.height:,} pixels): scale it down")
        if side is not None:
            picture.draft("RGB", (side, side))
        upright = ImageOps.exif_transpose(picture)
        upright.load()
        return _eight_bits(upright, stretch) if upright.mode.startswith(("I", "F")) else upright


def read_header(path: Path) -> tuple[int, int, bool]:
    """Height and width of a picture as it is seen, and whether it is grey; its pixels are not decoded.

    Raises:
        UserError: it is missing, or not a picture.
    """
    with _told_in_one_line():
        _check_kind(path)
        with Image.open(path) as picture:
            width, height = picture.size
            if _has_orientation(picture, path) and picture.getexif().get(ExifTags.Base.Orientation) in LYING:
                width, height = height, width
            return height, width, picture.mode in GREY_MODES


def to_pixels(picture: Image.Image, channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """A picture as a network gets it: (C, H, W) uint8, scaled to that size whatever its aspect; white shows through."""
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    if picture.mode == "LAB":  # which Pillow cannot make grey at once
        picture = picture.convert("RGB")
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.array(picture)  # a copy: the picture's own are read-only, which torch warns of
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def to_picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """Pixels (C, H, W) uint8 as a picture to look at."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """Without warnings, and with one line about whatever is wrong with a picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit is a lower one; oddities in metadata do not matter
            yield
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError("it is far too large: scale it down") from error
    except UnidentifiedImageError as error:
        raise UserError("it is not a picture of a known format") from error
    except OSError as error:
        raise UserError(f"it cannot be read ({error.strerror or error})") from error
    except Exception as error:  # what Pillow raises for a damaged file depends on where its bytes stop making sense
        raise UserError(f"it is damaged ({error})") from error


def _check_kind(path: Path) -> None:
    """Refuse what would be waited for, as a pipe into which nobody writes."""
    if path.exists() and not (path.is_file() or path.is_dir()):  # of a folder the system says so itself
        raise UserError("it is not a regular file")


def _has_orientation(picture: Image.Image, path: Path) -> bool:
    """Whether Exif may say that a picture is turned, and Pillow's size of it does not heed that yet."""
    if picture.format == "PNG":
        content = _read_file(path)
        return any(mark in content for mark in PNG_ORIENTATION)
    return picture.format != "TIFF"


def _read_file(path: Path) -> bytes:
    _check_kind(path)
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise UserError("it is too large for a picture")
    return content


def _eight_bits(picture: Image.Image, stretch: bool) -> Image.Image:
    """A picture with deeper grey values in 0..255; Pillow's own conversion would cut them off."""
    values = np.asarray(picture, dtype=np.float64)
    # Of 32 bits and of floating point nobody knows which value is white.
    is_known = picture.mode.startswith("I;16") and not stretch
    low, high = (0.0, 65535.0) if is_known else (float(values.min()), float(values.max()))
    return Image.fromarray(np.rint(255 * (values - low) / max(high - low, 1)).astype(np.uint8))

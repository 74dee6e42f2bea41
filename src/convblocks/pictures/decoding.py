"""Reads picture files, one of them or many on all cores.

A file may be damaged, huge, rotated by Exif, transparent, and in any format.
"""

import hashlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader

from convblocks.data.images import Shape
from convblocks.errors import DataError, UserError

# More pixels than any camera takes: such a file is broken, or made to exhaust memory.
LARGEST_PICTURE = 150_000_000

# More bytes than a file of so many pixels has.
LARGEST_FILE = 4 * LARGEST_PICTURE

# Others are refused: some are programs, which Pillow hands to Ghostscript.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO")

# Pillow's modes begin so whose pixels are refused: their conversion to 8 bits clips, or
# does not know what is white.
UNSUPPORTED_MODES = ("I", "F", "LAB")

# Exif orientations that swap height and width (Exif 2.3, tag 274).
ON_ITS_SIDE = (5, 6, 7, 8)

# Formats that have no orientation here: few programs write or heed that of a PNG, and
# Pillow heeds that of a TIFF.
UPRIGHT = ("PNG", "TIFF")

# Up to this many files are read without worker processes, which would take longer to start.
FEW = 500

# The number of files that a worker process takes at a time.
CHUNK = 32

Pixels = NDArray[np.uint8]

Result = TypeVar("Result")

# Ignore Pillow's warnings of large pictures, below our own limit, and of odd metadata, in the whole
# process, since threads must not use catch_warnings.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_picture(source: Path | bytes, most_pixels: int = LARGEST_PICTURE) -> Image.Image:
    """Read a picture file, or the content of one, with at most this many pixels:
    upright, with 8 bits per channel.

    Raises:
        UserError: it is missing, not a picture, damaged, has too many pixels, or pixels
            of an unsupported kind.
    """
    with _friendly_errors():
        content = _content_of(source) if isinstance(source, Path) else source
        # Verify checksums, such as PNG's, which decoding ignores.
        Image.open(io.BytesIO(content), formats=FORMATS).verify()
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
        if picture.mode.startswith(UNSUPPORTED_MODES):
            raise UserError(
                f"its pixels (mode {picture.mode}) are not supported: save it as 8-bit grey or RGB"
            )
        if picture.width * picture.height > most_pixels:
            raise UserError(
                f"it is too large ({picture.width:,} x {picture.height:,} pixels): scale it down"
            )
        if picture.format not in UPRIGHT:
            ImageOps.exif_transpose(picture, in_place=True)
        picture.load()
        return picture


def _regular(path: Path) -> Path:
    """The path, unless a device or a pipe is there."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError("it is not a regular file")
    return path


def _content_of(path: Path) -> bytes:
    """A file's content; a device might never end, and a pipe never begin."""
    with _regular(path).open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise UserError(f"it has more than {LARGEST_FILE:,} bytes: scale it down")
    return content


def read_shape(path: Path) -> Shape:
    """The shape (C, H, W) of a picture when upright, from its header: C is 1 if it is
    grey, otherwise 3.

    Raises:
        DataError: it is missing, or not a picture.
    """
    with _friendly_errors(path), Image.open(_regular(path), formats=FORMATS) as picture:
        width, height = picture.size
        if picture.format not in UPRIGHT:
            orientation = picture.getexif().get(ExifTags.Base.Orientation)
            if orientation in ON_ITS_SIDE:
                width, height = height, width
        channels = 1 if Image.getmodebase(picture.mode) == "L" else 3
        return channels, height, width


def digest_of(path: Path) -> str:
    """The MD5 of a file.

    Raises:
        DataError: it cannot be read.
    """
    with _friendly_errors(path):
        return hashlib.md5(_content_of(path), usedforsecurity=False).hexdigest()


def to_pixels(picture: Image.Image, channels: int, height: int, width: int) -> Pixels:
    """A picture as (C, H, W) uint8, resized ignoring its aspect ratio, with transparent
    areas on white.
    """
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    # A copy: Pillow's memory is read-only, which torch warns about.
    pixels = np.atleast_3d(np.array(picture))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def read_pixels(path: Path, shape: Sequence[int]) -> Pixels:
    """The pixels of a picture file, scaled to the shape (C, H, W): uint8.

    Raises:
        DataError: see ``read_picture``.
    """
    with _friendly_errors(path):
        return to_pixels(read_picture(path), *shape)


def to_picture(pixels: Pixels) -> Image.Image:
    """Pixels (C, H, W) uint8 as a picture."""
    if len(pixels) == 1:
        return Image.fromarray(pixels[0])
    return Image.fromarray(pixels.transpose(1, 2, 0))


@contextmanager
def _friendly_errors(path: Path | None = None) -> Iterator[None]:
    """Turn any error into one line: a UserError, or a DataError that names the picture."""
    try:
        yield
    # Pillow raises many types for damaged files.
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        text = f"it cannot be read ({reason})"
        if isinstance(error, UnidentifiedImageError):
            text = "it is not a picture of a known format"
        elif isinstance(error, UserError):
            text = str(error)
        if path:
            raise DataError(f"cannot use the picture {path}: {text}") from error
        raise UserError(text) from error


def decode(paths: Sequence[Path], shape: Shape) -> Tensor:
    """The pixels of pictures, scaled to the shape (C, H, W): (N, C, H, W) uint8.

    Raises:
        DataError: a picture cannot be read.
    """
    images = torch.empty(len(paths), *shape, dtype=torch.uint8)
    decoded = for_all(paths, partial(read_pixels, shape=shape))
    for image, pixels in zip(images.numpy(), decoded, strict=True):
        image[:] = pixels
    return images


def for_all(paths: Sequence[Path], read: Callable[[Path], Result]) -> Iterator[Result]:
    """The results for all pictures, on all cores if they are many.

    Processes, as threads would be slower at small pictures, most of whose time is spent in Python.

    Raises:
        DataError: a picture cannot be read.
    """
    # Only with fork: a spawned process would repeat all imports, and run the user's script again.
    workers = 0
    if len(paths) > FEW and sys.platform == "linux":
        workers = len(os.sched_getaffinity(0))
    files: Any = paths  # a list is enough of a Dataset
    loader = DataLoader(
        files,
        batch_size=CHUNK,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        collate_fn=partial(_results, read),
        # otherwise it draws from the global generator, which the weights are drawn from
        generator=torch.Generator(),
    )
    for results, problem in loader:
        if problem:
            raise DataError(problem)
        yield from results


def _results(read: Callable[[Path], Result], paths: Sequence[Path]) -> tuple[list[Result], str]:
    """The results of ``read`` for pictures, and the message of a DataError, which would lose it
    if it were raised in a worker; empty without one.
    """
    try:
        return [read(path) for path in paths], ""
    except DataError as error:
        return [], str(error)

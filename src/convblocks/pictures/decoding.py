"""Reads picture files, one of them or many on all cores.

A file may be damaged, huge, rotated by Exif, transparent, and in any format.
"""

import io
import math
import mmap
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from convblocks.errors import DataError, UserError

# More pixels than any camera takes, and more bytes than those need: such a file is broken, or made to exhaust memory.
LARGEST_PICTURE = 150_000_000
LARGEST_FILE = 500_000_000

# Others are refused: some are programs, which Pillow hands to Ghostscript.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO")

# Pillow's modes without colours.
GREY_MODES = ("1", "L", "LA", "I;16", "I;16B")

# Pillow's modes that are refused: which value is white is unknown, or they have no direct conversion to grey.
UNSUPPORTED_MODES = ("I", "F", "LAB")

# Exif orientations that swap height and width (Exif 2.3, tag 274).
ON_ITS_SIDE = (5, 6, 7, 8)

# Marks of an orientation in a PNG. It may follow the pixels, and Pillow would decode them to find it there.
PNG_ORIENTATION = (b"eXIf", b"Raw profile type exif", b"com.adobe.xmp")

# Up to so many files are read without worker processes, which would take longer to start, and without a progress bar.
FEW = 500

# How many files a worker process takes at a time.
CHUNK = 32

Result = TypeVar("Result")

# Of Pillow's lower size limit and of odd metadata. Not with catch_warnings, which threads must not use.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Header(NamedTuple):
    """Height and width of a picture when upright, and whether it is grey."""

    height: int
    width: int
    grey: bool


def read_picture(
    source: Path | bytes, most_pixels: int = LARGEST_PICTURE, side: int | None = None, stretch: bool = False
) -> Image.Image:
    """Read a picture file, or the content of one: upright, with 8 bits per channel.

    Args:
        source: The file or its content.
        most_pixels: The largest allowed number of pixels.
        side: The pixels needed per side: larger JPEGs are then decoded at a fraction of their size.
        stretch: For 16-bit greys, map the darkest to 0 and the lightest to 255; otherwise 65,535 becomes 255.

    Raises:
        UserError: it is missing, not a picture, damaged, has too many pixels, or pixels of an unsupported kind.
    """
    with _friendly_errors():
        content = _read_file(source) if isinstance(source, Path) else source
        Image.open(io.BytesIO(content), formats=FORMATS).verify()  # checksums, such as PNG's, which decoding ignores
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
        if picture.mode in UNSUPPORTED_MODES:
            raise UserError(f"its pixels (mode {picture.mode}) are not supported: save it as 8-bit grey or RGB")
        if picture.width * picture.height > most_pixels:
            raise UserError(f"it is too large ({picture.width:,} x {picture.height:,} pixels): scale it down")
        if side is not None:
            picture.draft("RGB", (side, side))
        upright = ImageOps.exif_transpose(picture)
        upright.load()
        return _eight_bits(upright, stretch) if upright.mode.startswith("I;16") else upright


def read_header(path: Path) -> Header:
    """The header of a picture, whose pixels are not decoded.

    Raises:
        UserError: it is missing, or not a picture.
    """
    with _friendly_errors():
        _check_kind(path)
        with Image.open(path, formats=FORMATS) as picture:
            width, height = picture.size
            if _has_orientation(picture, path) and picture.getexif().get(ExifTags.Base.Orientation) in ON_ITS_SIDE:
                width, height = height, width
            return Header(height, width, picture.mode in GREY_MODES)


def to_pixels(picture: Image.Image, channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """A picture as (C, H, W) uint8, resized ignoring its aspect ratio, with transparent areas on white."""
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.array(picture)  # a copy: Pillow's memory is read-only, which torch warns about
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def read_pixels(path: Path, shape: Sequence[int]) -> NDArray[np.uint8]:
    """The pixels of a picture file, scaled to the shape (C, H, W): uint8.

    Raises:
        UserError: see ``read_picture``.
    """
    return to_pixels(read_picture(path), *shape)


def to_picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """Pixels (C, H, W) uint8 as a picture."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn a UserError into a DataError that names the picture."""
    try:
        yield
    except UserError as error:
        raise DataError(f"cannot use the picture {path}: {error}") from error


@contextmanager
def _friendly_errors() -> Iterator[None]:
    """Turn any error into a one-line UserError."""
    try:
        yield
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError("it is far too large: scale it down") from error
    except UnidentifiedImageError as error:
        raise UserError("it is not a picture of a known format") from error
    except OSError as error:
        raise UserError(f"it cannot be read ({error.strerror or error})") from error
    except Exception as error:  # Pillow raises many types for damaged files
        raise UserError(f"it is damaged ({error})") from error


def _check_kind(path: Path) -> None:
    """Refuse files such as pipes, which could block forever."""
    if path.exists() and not (path.is_file() or path.is_dir()):  # opening a folder raises its own error
        raise UserError("it is not a regular file")


def _has_orientation(picture: Image.Image, path: Path) -> bool:
    """Whether there may be an Exif orientation that Pillow's size does not account for yet."""
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
    """A 16-bit grey picture with 8 bits; Pillow's conversion would clip its values."""
    values = np.asarray(picture, dtype=np.float64)
    low, high = (float(values.min()), float(values.max())) if stretch else (0.0, 65535.0)
    return Image.fromarray(np.rint(255 * (values - low) / max(high - low, 1)).astype(np.uint8))


def read_headers(paths: Sequence[Path]) -> list[Header]:
    """The header of each picture, which is not decoded.

    Raises:
        DataError: a picture cannot be read.
    """
    return _for_all(paths, lambda _, path: read_header(path), f"Looking at {len(paths):,} pictures")


def decode(paths: Sequence[Path], shape: tuple[int, int, int]) -> Tensor:
    """The pixels of pictures, scaled to the shape (C, H, W): (N, C, H, W) uint8.

    Raises:
        DataError: a picture cannot be read.
    """
    # Shared with the processes, which write into it. Unlike torch's shared tensors, it takes no space in /dev/shm.
    try:
        memory = mmap.mmap(-1, len(paths) * math.prod(shape))
    except OSError as error:
        raise DataError(f"there is no memory for {len(paths):,} pictures ({error.strerror})") from error
    images = torch.frombuffer(memory, dtype=torch.uint8).view(len(paths), *shape)
    pixels = images.numpy()

    def read(index: int, path: Path) -> None:
        pixels[index] = read_pixels(path, shape)

    _for_all(paths, read, f"Decoding {len(paths):,} pictures")
    return images


class _Chunks(Dataset[tuple[list[Result], str]]):
    """Groups of pictures, each read by one process: the results of ``read(index, path)``, and an error message or "".

    Threads would be slower at small pictures, most of whose time is spent in Python.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[int, Path], Result]) -> None:
        self.paths = paths
        self.read = read

    def __len__(self) -> int:
        return -(-len(self.paths) // CHUNK)

    def __getitem__(self, chunk: int) -> tuple[list[Result], str]:
        results = []
        for index, path in enumerate(self.paths[chunk * CHUNK :][:CHUNK], chunk * CHUNK):
            try:
                with naming(path):
                    results.append(self.read(index, path))
            except DataError as error:
                return [], str(error)
        return results, ""


def _for_all(paths: Sequence[Path], read: Callable[[int, Path], Result], title: str) -> list[Result]:
    """The results of all pictures, on all cores; shows a progress bar on a terminal, elsewhere a line."""
    many = len(paths) > FEW
    chunks = _Chunks(paths, read)
    # Only with fork: a spawned process would repeat all imports, and run the user's script again.
    cores = len(os.sched_getaffinity(0)) if many and sys.platform == "linux" else 1
    workers = min(cores, len(chunks)) if cores > 1 else 0
    loader = DataLoader(
        chunks,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        collate_fn=lambda chunk: chunk,  # unchanged
        generator=torch.Generator(),  # otherwise it draws from the global generator, which the weights are drawn from
    )
    read_chunks = iter(loader)  # forks, before the progress bar starts a thread
    console = Console(stderr=True)
    if many and not console.is_terminal:
        console.print(title)
    hidden = not (many and console.is_terminal)
    results = []
    try:
        for part, problem in track(read_chunks, title, len(chunks), console=console, transient=True, disable=hidden):
            if problem:
                raise DataError(problem)
            results += part
    except RuntimeError as error:  # torch's message names the process
        raise DataError(f"a process that decoded pictures died, perhaps out of memory: {error}") from error
    return results

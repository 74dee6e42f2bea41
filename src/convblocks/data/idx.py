"""Reads one file in IDX format, the format in which MNIST is published, plain or gzipped.

The format: two zero bytes, a byte for the element type, a byte for the number of dimensions, each dimension as a
big-endian 32-bit integer, then the elements in row-major order (Y. LeCun, C. Cortes, C. Burges: "The MNIST database
of handwritten digits").
"""

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convblocks.errors import DataError

ELEMENT_TYPES: dict[int, np.dtype[Any]] = {0x08: np.dtype(">u1"), 0x0C: np.dtype(">i4")}  # QMNIST's labels are 32-bit


# More than any data set in this format has: EMNIST's largest file has 547 million bytes.
LARGEST_FILE = 1_000_000_000


@dataclass(frozen=True)
class _Header:
    """What the first bytes of a file say."""

    element_type: np.dtype[Any]
    shape: list[int]
    length: int  # in bytes, of the header itself

    @property
    def file_length(self) -> int:
        """Of the whole file, in bytes."""
        return self.length + self.element_type.itemsize * math.prod(self.shape)


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in ``.gz``; no more is read than its header announces.

    Raises:
        DataError: the file cannot be read, the archive is cut short or fails gzip's own checksum, the header is not
            IDX, or announces another length than the file has.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            start = file.read(4)
            start += file.read(4 * start[3]) if len(start) == 4 else b""
            length = _header(start, path).file_length
            if length > LARGEST_FILE:
                raise DataError(f"{path} would have {length:,} bytes by its header: it is damaged, or too large")
            content = start + file.read(length - len(start))
            surplus = file.read(1)  # which makes gzip look at its checksum too
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}): delete it and put an intact copy there") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if surplus or len(content) != length:
        has = "more" if surplus else f"{len(content):,}"
        raise DataError(f"{path} has {has} bytes where its header says {length:,}: it is damaged")
    return content


def parse(content: bytes, path: Path) -> Tensor:
    """The array in an IDX file of which ``read_bytes`` has read the content, uint8 or int32.

    Raises:
        DataError: the header is not IDX, or no array can have its shape. ``path`` is for its message alone.
    """
    header = _header(content, path)
    try:
        array = np.frombuffer(content, header.element_type, offset=header.length).reshape(header.shape)
    except ValueError as error:  # nothing at all in more dimensions than numpy has, or along one that is too long
        raise DataError(f"{path} is damaged ({error}): delete it and put an intact copy there") from error
    return torch.from_numpy(array.astype(header.element_type.newbyteorder("=")))


def _header(content: bytes, path: Path) -> _Header:
    element_type = ELEMENT_TYPES.get(content[2]) if len(content) >= 4 and content[:2] == b"\0\0" else None
    if element_type is None or len(content) < (length := 4 + 4 * content[3]):
        raise DataError(f"{path} is not an IDX file of bytes or 32-bit integers: its first bytes are wrong")
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, length, 4)]
    return _Header(element_type, shape, length)

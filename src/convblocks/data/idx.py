"""Arrays in the IDX format of MNIST's files.

Two zero bytes, a byte for the element type, a byte for the number of dimensions, each dimension as a big-endian 32-bit
integer, then the elements in row-major order (Y. LeCun, C. Cortes, C. Burges: "The MNIST database of handwritten
digits").
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convblocks.errors import DataError

ELEMENT_TYPES: dict[int, np.dtype[Any]] = {0x08: np.dtype(">u1"), 0x0C: np.dtype(">i4")}  # QMNIST's labels are 32-bit

# Larger than any data set in this format: EMNIST's largest file has 547 million bytes.
LARGEST_FILE = 1_000_000_000


def read_bytes(path: Path) -> bytes:
    """The content of an IDX file, unpacked if its name ends in ``.gz``; reads no more than its header announces.

    Raises:
        DataError: the file cannot be read, the archive is truncated or fails gzip's checksum, or the header is not
            IDX or does not match the length of the file.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            start = file.read(4)
            start += file.read(4 * start[3]) if len(start) == 4 else b""
            element_type, shape = _header(start, path)
            length = len(start) + element_type.itemsize * math.prod(shape)
            if length > LARGEST_FILE:
                raise DataError(f"{path} would have {length:,} bytes by its header: it is damaged, or too large")
            content = start + file.read(length - len(start))
            surplus = file.read(1)  # also makes gzip verify its checksum
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}): delete it and put an intact copy there") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if surplus or len(content) != length:
        has = "more" if surplus else f"{len(content):,}"
        raise DataError(f"{path} has {has} bytes where its header says {length:,}: it is damaged")
    return content


def parse(content: bytes, path: Path) -> Tensor:
    """The array, uint8 or int32, in the content of an IDX file as ``read_bytes`` returns it.

    Raises:
        DataError: the header is not IDX, or its shape is impossible. ``path`` is only for the message.
    """
    element_type, shape = _header(content, path)
    try:
        array = np.frombuffer(content, element_type, offset=4 + 4 * len(shape)).reshape(shape)
    except ValueError as error:  # an empty array with more dimensions, or a longer one, than numpy allows
        raise DataError(f"{path} is damaged ({error}): delete it and put an intact copy there") from error
    return torch.from_numpy(array.astype(element_type.newbyteorder("=")))


def _header(content: bytes, path: Path) -> tuple[np.dtype[Any], list[int]]:
    """The type of the elements, and the shape."""
    element_type = ELEMENT_TYPES.get(content[2]) if len(content) >= 4 and content[:2] == b"\0\0" else None
    if element_type is None or len(content) < (length := 4 + 4 * content[3]):
        raise DataError(f"{path} is not an IDX file of bytes or 32-bit integers: its first bytes are wrong")
    return element_type, [int.from_bytes(content[at : at + 4], "big") for at in range(4, length, 4)]

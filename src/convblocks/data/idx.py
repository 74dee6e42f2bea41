"""Reads one file in IDX format, the format in which MNIST is published, plain or gzipped.

The format: two zero bytes, a byte for the element type, a byte for the number of dimensions, each dimension as a
big-endian 32-bit integer, then the elements in row-major order (Y. LeCun, C. Cortes, C. Burges: "The MNIST database
of handwritten digits").
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


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in ``.gz``.

    Raises:
        DataError: the file cannot be read, or the archive is cut short or fails gzip's own checksum.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}): delete it and put an intact copy there") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def parse(content: bytes, path: Path) -> Tensor:
    """The array in an IDX file, uint8 or int32. ``path`` is for the error messages alone.

    Raises:
        DataError: the header is not IDX, or announces another length than the file has.
    """
    element_type = ELEMENT_TYPES.get(content[2]) if len(content) >= 4 and content[:2] == b"\0\0" else None
    if element_type is None:
        raise DataError(f"{path} is not an IDX file of bytes or 32-bit integers: its first bytes are wrong")
    header = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4)]
    expected = header + element_type.itemsize * math.prod(shape)
    if len(content) != expected:
        raise DataError(f"{path} has {len(content):,} bytes where its header says {expected:,}: it is damaged")
    array = np.frombuffer(content, element_type, offset=header).reshape(shape)
    return torch.from_numpy(array.astype(element_type.newbyteorder("=")))

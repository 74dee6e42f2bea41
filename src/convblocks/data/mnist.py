"""MNIST's four IDX files, or another data set in their format: Fashion-MNIST, KMNIST, QMNIST.

They are searched for below a root, unpacked or downloaded if missing, and checked.

IDX: two zero bytes, a byte for the element type, a byte for the number of dimensions, each dimension as a big-endian
32-bit integer, then the elements in row-major order (Y. LeCun, C. Cortes, C. Burges: "The MNIST database of
handwritten digits").
"""

import gzip
import hashlib
import math
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from torchvision import datasets

from convblocks.atomic import write
from convblocks.data.images import MNIST, ImageSets, ImageSource, LabelledImages
from convblocks.errors import DataError

# The repository's data folder.
DEFAULT_ROOT = Path(__file__).resolve().parents[3] / "data"

# The names of each file: MNIST's own, then QMNIST's.
TRAIN_IMAGES = ("train-images-idx3-ubyte", "qmnist-train-images-idx3-ubyte")
TRAIN_LABELS = ("train-labels-idx1-ubyte", "qmnist-train-labels-idx2-int")
TEST_IMAGES = ("t10k-images-idx3-ubyte", "qmnist-test-images-idx3-ubyte")
TEST_LABELS = ("t10k-labels-idx1-ubyte", "qmnist-test-labels-idx2-int")
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

# MD5 of the unpacked originals: gunzip's output for the archives in torchvision's MNIST.resources.
ORIGINAL_MD5 = {
    "6bbc9ace898e44ae57da46a324031adb": TRAIN_IMAGES,
    "a25bea736e30d166cdddb491f175f624": TRAIN_LABELS,
    "2646ac647ad5339dbf082846283269ea": TEST_IMAGES,
    "27ae3e4e09519cfbb04c329615203637": TEST_LABELS,
}

ELEMENT_TYPES: dict[int, np.dtype[Any]] = {0x08: np.dtype(">u1"), 0x0C: np.dtype(">i4")}  # QMNIST's labels are 32-bit

# Larger than any data set in this format: EMNIST's largest file has 547 million bytes.
LARGEST_FILE = 1_000_000_000


class MNISTFiles(ImageSource):
    """The four files of MNIST, or another data set in its format."""

    def prepare(self) -> None:
        prepare(self.root)

    def load(self) -> ImageSets:
        return load(self.root)


@dataclass(frozen=True)
class _File:
    """A file's path and its unpacked content."""

    path: Path
    content: bytes

    @cached_property
    def md5(self) -> str:
        """MD5 of the content."""
        return hashlib.md5(self.content, usedforsecurity=False).hexdigest()

    @property
    def original(self) -> tuple[str, ...] | None:
        """The names of MNIST's own file with this content; None if it is not one of them."""
        return ORIGINAL_MD5.get(self.md5)


def prepare(root: Path) -> None:
    """Make sure that the four files are below ``root``, unpacked if possible.

    Missing files are unpacked from the archives beside them; without archives torchvision downloads MNIST. A read-only
    root is left as it is, since ``load`` reads archives too. Safe to call from several processes.

    Raises:
        DataError: the files are missing and cannot be downloaded, or an archive is damaged.
    """
    if root.exists() and not root.is_dir():
        raise DataError(f"the data root {root} is a file: point --data.root to a folder")
    folder = find_folder(root) if root.exists() else None
    if folder is None:
        _download(root)
    elif os.access(root, os.W_OK):
        with FileLock(root / ".lock"):
            for names in FILES:
                path = _path(folder, names)
                if path and not path.is_file():
                    _unpack(path)


def load(root: Path) -> ImageSets:
    """Read both sets into memory: images (N, 1, 28, 28) uint8.

    Raises:
        DataError: a file is missing, damaged, or does not hold 28x28 images with as many labels in 0..9.
    """
    folder = find_folder(root)
    if folder is None:
        raise DataError(f"no MNIST files in {root}, {root}/raw or {root}/MNIST/raw")
    files = [_read(folder, names) for names in FILES]
    for file, names in zip(files, FILES, strict=True):
        if file.original not in (None, names):
            raise DataError(f"{file.path} holds the content of {file.original[0]}: give each file its own name")
    changed = [file.path for file in files if not file.original]
    if len(changed) == 1:  # the other three are MNIST's own, so that this is not another data set
        raise DataError(f"{changed[0]} is damaged (its MD5 is not that of MNIST's file): put an intact copy there")
    train_images, train_labels, test_images, test_labels = files
    return ImageSets(
        train=_digits(train_images, train_labels),
        test=_digits(test_images, test_labels),
        image_spec=MNIST,
        fingerprint={names[0]: file.md5 for file, names in zip(files, FILES, strict=True)},
        folder=folder,
        original=not changed,
    )


def find_folder(root: Path) -> Path | None:
    """The folder with the files: ``<root>``, ``<root>/raw`` or ``<root>/<Name>/raw``, MNIST before others.

    Raises:
        DataError: a file is missing, or there are several data sets, none of them MNIST.
    """
    named = sorted(root.glob("*/raw"), key=lambda folder: (folder.parent.name != "MNIST", folder))
    candidates = [root, root / "raw", *named]
    found = [folder for folder in candidates if any(_path(folder, names) for names in FILES)]
    if not found:
        return None
    chosen = found[0]
    if chosen in named and chosen.parent.name != "MNIST" and len(found) > 1:
        several = ", ".join(str(folder.parent) for folder in found)
        raise DataError(f"{root} holds several data sets: point --data.root to one of {several}")
    missing = [names[0] for names in FILES if _path(chosen, names) is None]
    if missing:
        raise DataError(f"{chosen} lacks {' and '.join(missing)}: put the file or its .gz archive there")
    return chosen


def _path(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The path of the unpacked file under one of these names, if the file or its archive exists."""
    paths = (folder / name for name in names)
    return next((path for path in paths if path.is_file() or _archive(path).is_file()), None)


def _archive(path: Path) -> Path:
    return path.with_name(path.name + ".gz")


def _download(root: Path) -> None:
    """Let torchvision download MNIST beside ``root``, and copy it there once complete."""
    try:
        place = root.absolute()  # "." has neither a name nor a parent
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place.with_name(place.name + ".lock"))
        with lock, tempfile.TemporaryDirectory(dir=place.parent) as unfinished:
            if root.exists() and find_folder(root) is not None:
                return  # another process has downloaded it while this one waited for the lock
            datasets.MNIST(unfinished, download=True)
            shutil.copytree(unfinished, root, dirs_exist_ok=True)
    except (RuntimeError, OSError) as error:
        names = ", ".join(f"{names[0]}.gz" for names in FILES)
        raise DataError(
            f"no MNIST files in {root}, and they could not be downloaded: put {names} into {root / 'MNIST' / 'raw'}"
        ) from error


def _read(folder: Path, names: tuple[str, ...]) -> _File:
    """The unpacked file; if it is missing or damaged, the content of its archive, which then replaces it."""
    path = _path(folder, names)
    assert path is not None  # find_folder has checked it
    if path.is_file():
        try:
            file = _File(path, read_bytes(path))
        except DataError:
            if not _archive(path).is_file():
                raise
        else:
            if _is_intact(file):
                return file
    return _File(path, _unpack(path))


def _is_intact(file: _File) -> bool:
    """Whether an unpacked file matches its archive; true without an archive."""
    archive = _archive(file.path)
    if file.original or not archive.is_file():
        return True
    # RFC 1952: a gzip file ends with the CRC-32 and the length of its content, each 32-bit little-endian.
    trailer = archive.read_bytes()[-8:]
    return trailer == zlib.crc32(file.content).to_bytes(4, "little") + len(file.content).to_bytes(4, "little")


def _unpack(path: Path) -> bytes:
    """The content of a file's archive, also written to the file if the folder is writable."""
    content = read_bytes(_archive(path))
    if os.access(path.parent, os.W_OK):
        write(path, content)
    return content


def _digits(images_file: _File, labels_file: _File) -> LabelledImages:
    images, labels = (parse(file.content, file.path) for file in (images_file, labels_file))
    if labels.ndim == 2 and images.ndim == 3:
        labels = labels[:, 0]  # QMNIST: the first of eight columns is the class
    if images.ndim < labels.ndim:
        raise DataError(f"{images_file.path} holds labels, and {labels_file.path} images: swap their names")
    if images.shape[1:] != MNIST.shape[1:]:
        raise DataError(f"{images_file.path} holds an array of shape {tuple(images.shape)}, not of 28x28 images")
    if len(images) == 0 or labels.shape != (len(images),):
        lengths = f"{len(images):,} images, but {labels_file.path} {len(labels):,} labels"
        raise DataError(f"{images_file.path} holds {lengths}")
    if labels.min() < 0 or labels.max() >= len(MNIST.classes):
        raise DataError(f"{labels_file.path} holds the label {int(labels.max())}, which is not in 0..9")
    return LabelledImages(images.unsqueeze(1), labels.long())


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

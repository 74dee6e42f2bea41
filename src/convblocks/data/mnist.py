"""MNIST on disk: finds the four files below a root, unpacks or downloads missing ones, and checks their content.

Also reads other data sets in the same format: Fashion-MNIST, KMNIST, QMNIST.
"""

import hashlib
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from torchvision.datasets import MNIST

from convblocks.atomic import write
from convblocks.data import idx, image_spec
from convblocks.data.images import ImageSets, LabelledImages
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


@dataclass(frozen=True)
class _File:
    """A file's path, its unpacked content and the content's MD5."""

    path: Path
    content: bytes
    md5: str

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
    if not root.exists() or find_folder(root) is None:
        _download(root)
        return
    if not os.access(root, os.W_OK):
        return
    with FileLock(root / ".lock"):
        folder = find_folder(root)
        for path in [_path(folder, names) for names in FILES] if folder else []:
            if path and not path.is_file():
                _unpack(path)


def load(root: Path) -> ImageSets:
    """Read both sets into memory: images (N, 1, 28, 28).

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
        image_spec=image_spec.MNIST,
        fingerprint={names[0]: file.md5 for file, names in zip(files, FILES, strict=True)},
        folder=folder,
        original=not changed,
    )


def find_folder(root: Path) -> Path | None:
    """The folder with the files: ``<root>``, ``<root>/raw`` or ``<root>/<Name>/raw``, MNIST before others."""
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
    for name in names:
        path = folder / name
        if path.is_file() or _archive(path).is_file():
            return path
    return None


def _archive(path: Path) -> Path:
    return path.with_name(path.name + ".gz")


def _read(folder: Path, names: tuple[str, ...]) -> _File:
    """The unpacked file; if it is missing or damaged, the content of its archive, which then replaces it."""
    path = _path(folder, names)
    assert path is not None  # find_folder has checked it
    if path.is_file():
        try:
            file = _as_file(path, idx.read_bytes(path))
        except DataError:
            if not _archive(path).is_file():
                raise
        else:
            if _is_intact(file):
                return file
    return _as_file(path, _unpack(path))


def _as_file(path: Path, content: bytes) -> _File:
    return _File(path, content, hashlib.md5(content, usedforsecurity=False).hexdigest())


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
    content = idx.read_bytes(_archive(path))
    if os.access(path.parent, os.W_OK):
        write(path, content)
    return content


def _download(root: Path) -> None:
    """Let torchvision download MNIST beside ``root``, and copy it there once complete."""
    try:
        place = root.absolute()  # "." has neither a name nor a parent
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place.with_name(place.name + ".lock"))
        with lock, tempfile.TemporaryDirectory(dir=place.parent) as unfinished:
            if root.exists() and find_folder(root) is not None:
                return  # another process has downloaded it while this one waited for the lock
            MNIST(unfinished, download=True)
            shutil.copytree(unfinished, root, dirs_exist_ok=True)
    except (RuntimeError, OSError) as error:
        names = ", ".join(f"{names[0]}.gz" for names in FILES)
        raise DataError(
            f"no MNIST files in {root}, and they could not be downloaded: put {names} into {root / 'MNIST' / 'raw'}"
        ) from error


def _digits(images_file: _File, labels_file: _File) -> LabelledImages:
    images = idx.parse(images_file.content, images_file.path)
    labels = idx.parse(labels_file.content, labels_file.path)
    if labels.ndim == 2 and images.ndim == 3:
        labels = labels[:, 0]  # QMNIST: the first of eight columns is the class
    if images.ndim < labels.ndim:
        raise DataError(f"{images_file.path} holds labels, and {labels_file.path} images: swap their names")
    if images.shape[1:] != image_spec.MNIST.shape[1:]:
        raise DataError(f"{images_file.path} holds an array of shape {tuple(images.shape)}, not of 28x28 images")
    if len(images) == 0 or labels.shape != (len(images),):
        lengths = f"{len(images):,} images, but {labels_file.path} {len(labels):,} labels"
        raise DataError(f"{images_file.path} holds {lengths}")
    if labels.min() < 0 or labels.max() >= len(image_spec.MNIST.classes):
        raise DataError(f"{labels_file.path} holds the label {int(labels.max())}, which is not in 0..9")
    return LabelledImages(images.unsqueeze(1), labels.long())

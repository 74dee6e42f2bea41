"""A folder of pictures, ``train/<class>/*.png`` and ``test/<class>/*.png``, as for torchvision's ImageFolder.

The pictures are decoded once, on all cores, and kept in one file beside ``train`` and ``test``. It is valid as long as
no picture's name, size or modification time changes. Pictures that do not fit into memory are decoded batch by batch.
"""

import hashlib
import json
import math
import os
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import torch
from filelock import FileLock
from rich.console import Console
from torch import Tensor

from convblocks.data.images import ImageSets, ImageSource, ImageSpec, LabelledImages
from convblocks.errors import DataError, UsageError
from convblocks.files import atomic_write, write
from convblocks.pictures.decoding import FEW, Header, decode, read_headers
from convblocks.pictures.lazy import LazyImages

# Files with other endings are ignored.
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff")

# Increment it when decoding changes: kept pictures are then decoded again.
FORMAT = 2

# The share of the free memory that images may take; the rest is for training.
SHARE_OF_MEMORY = 0.8


def find(root: Path, size: tuple[int, int] | None) -> ImageSource | None:
    """The pictures in a folder, if there are any."""
    return PictureFolder(root, size) if (root / "train").is_dir() else None


@dataclass(frozen=True)
class Listing:
    """The picture files of a split: their paths, their labels, and the MD5 of all names, sizes and times."""

    paths: list[Path]
    labels: list[int]
    state: str


class PictureFolder(ImageSource):
    """Pictures in folders named after their classes, in natural order of their file names whatever their class.

    Args:
        root: The folder with ``train`` and, if there are test pictures, ``test``.
        size: Height and width to scale the pictures to; without it they must all have one size.
    """

    def __init__(self, root: Path, size: tuple[int, int] | None = None) -> None:
        super().__init__(root)
        self.size = size
        self._prepared: ImageSets | None = None

    def prepare(self) -> None:
        """Decode and keep the pictures if the folder is writable; safe to call from several processes.

        Raises:
            DataError: see ``load``.
        """
        if os.access(self.root, os.W_OK):
            self._prepared = self.load()

    def load(self) -> ImageSets:
        """Read all pictures into memory, from the kept file if it is valid; where they do not fit, they stay lazy.

        Raises:
            DataError: there are no classes or no pictures, or some cannot be read or differ in size.
        """
        if self._prepared:
            prepared, self._prepared = self._prepared, None
            return prepared
        classes = find_classes(self.root / "train")
        splits = {"train": list_pictures(self.root / "train", classes)}
        if (self.root / "test").is_dir():
            splits["test"] = list_pictures(self.root / "test", classes)
        if (images := self._kept(splits)) is None:
            with _lock(self.root) if os.access(self.root, os.W_OK) else nullcontext():
                if (images := self._kept(splits)) is None:
                    paths = [path for split in splits.values() for path in split.paths]
                    shape = self._shape(paths)
                    if note := self._beyond_memory(len(paths), shape):
                        return self._lazy(splits, classes, shape, note)
                    images = self._decoded(splits, paths, shape)
        train, test = _labelled(splits, images)
        return ImageSets.of(train, test, classes, self.root)

    def _kept(self, splits: dict[str, Listing]) -> dict[str, Tensor] | None:
        """The kept pictures of each split, (N, C, H, W) uint8; None if there are none or they are not up to date."""
        for size in dict.fromkeys([self.size, None]):
            try:
                path = kept_file(self.root, size)
                if not path.is_file() or self.copies * path.stat().st_size > memory_for_images():
                    continue
                kept = torch.load(path, weights_only=True, mmap=True)  # pixels are read lazily
                images: dict[str, Tensor] = kept["images"]
                fits = self.size in (None, tuple(images["train"].shape[2:]))
                if fits and (kept["format"], kept["state"]) == (FORMAT, _state(splits)):
                    images = {name: part.clone() for name, part in images.items()}
                    if kept["crc"] == _crc(images):
                        return images
            except Exception:  # a missing or damaged file: torch raises many types
                continue
        return None

    def _decoded(self, splits: dict[str, Listing], paths: list[Path], shape: tuple[int, int, int]) -> dict[str, Tensor]:
        """The pictures of each split, decoded, and kept if the folder is writable."""
        parts = decode(paths, shape).split([len(split.paths) for split in splits.values()])
        images = dict(zip(splits, parts, strict=True))
        if os.access(self.root, os.W_OK):
            # If this fails, the next run decodes again.
            with suppress(OSError, RuntimeError), atomic_write(kept_file(self.root, self.size)) as file:
                kept = {"format": FORMAT, "state": _state(splits), "crc": _crc(images), "images": images}
                torch.save(kept, file)
        return images

    def _lazy(
        self, splits: dict[str, Listing], classes: Sequence[str], shape: tuple[int, int, int], note: str
    ) -> ImageSets:
        """The pictures, not in memory. All are decoded once for image spec and fingerprint, which are kept."""
        train, test = _labelled(splits, {name: LazyImages(split.paths, shape) for name, split in splits.items()})
        path, key = kept_file(self.root, shape[1:]).with_suffix(".json"), [FORMAT, _state(splits)]
        try:
            kept = json.loads(path.read_bytes())
            if kept["key"] == key:
                image_spec = ImageSpec.from_dict(kept["image_spec"])
                return ImageSets(train, test or train[:0], image_spec, kept["fingerprint"], self.root, note=note)
        except (OSError, ValueError, KeyError, TypeError, UsageError):  # missing or damaged
            pass
        if (count := sum(len(split.paths) for split in splits.values())) > FEW:
            Console(stderr=True).print(f"Decoding {count:,} pictures for their mean and standard deviation")
        sets = ImageSets.of(train, test, classes, self.root)
        if os.access(self.root, os.W_OK):
            facts = {"key": key, "image_spec": sets.image_spec.as_dict(), "fingerprint": sets.fingerprint}
            with suppress(OSError):
                write(path, json.dumps(facts))
        return replace(sets, note=note)

    def _shape(self, paths: list[Path]) -> tuple[int, int, int]:
        """(C, H, W) of the decoded pictures, from their headers."""
        headers = read_headers(paths)
        height, width = self.size or self._one_size(paths, headers)
        return 1 if all(header.grey for header in headers) else 3, height, width

    def _beyond_memory(self, count: int, shape: tuple[int, int, int]) -> str:
        """Why so many pictures of a shape stay lazy; empty if they fit into memory."""
        needed, free = self.copies * count * math.prod(shape), memory_for_images()
        if needed <= free:
            return ""
        return (
            f"{count:,} pictures of {shape[1]} x {shape[2]} pixels need {needed / 1e9:,.1f} GB decoded, "
            f"{free / 1e9:,.1f} GB are free: they are decoded as they are needed, which is slower."
        )

    def _one_size(self, paths: list[Path], headers: list[Header]) -> tuple[int, int]:
        """The height and width that all pictures share, or a DataError that names one that differs from most."""
        sizes = [(header.height, header.width) for header in headers]
        usual, count = Counter(sizes).most_common(1)[0]
        if count < len(sizes):
            path, other = next((path, size) for path, size in zip(paths, sizes, strict=True) if size != usual)
            raise DataError(
                f"the pictures in {self.root} differ in size: {path} is {other[0]} x {other[1]} (height x width), most "
                f"are {usual[0]} x {usual[1]}: scale them with --data.size HEIGHT WIDTH"
            )
        return usual


def memory_for_images() -> float:
    """Memory that images may take, in bytes."""
    return SHARE_OF_MEMORY * psutil.virtual_memory().available


def kept_file(root: Path, size: tuple[int, int] | None) -> Path:
    """The file for decoded pictures of a size; None is their original size."""
    return root / f".pictures{'-{}x{}'.format(*size) if size else ''}.pt"


def _labelled(splits: dict[str, Listing], images: Mapping[str, Tensor]) -> tuple[LabelledImages, LabelledImages | None]:
    """The training images and, if there are any, the test images."""
    parts = {name: LabelledImages(images[name], torch.tensor(split.labels)) for name, split in splits.items()}
    return parts["train"], parts.get("test")


def _state(splits: dict[str, Listing]) -> dict[str, str]:
    return {name: split.state for name, split in splits.items()}


def find_classes(folder: Path) -> list[str]:
    """The names of the classes, in alphabetical order.

    Raises:
        DataError: there are fewer than two, or a name is not printable.
    """
    classes = sorted(_class_of(path) for path in _folders(folder))
    if odd := [name for name in classes if not name.isprintable()]:
        raise DataError(f"{folder}: the folder name {odd[0]!r} is not plain text, and cannot be the name of a class")
    if len(classes) < 2:
        found = f"only {classes[0]}" if classes else "none"
        raise DataError(f"{folder} needs folders of pictures for two or more classes, but has {found}")
    return classes


def list_pictures(folder: Path, classes: Sequence[str]) -> Listing:
    """The pictures of a split, in natural order of their file names.

    Raises:
        DataError: a folder is not one of the classes, or has no pictures.
    """
    found: list[tuple[os.DirEntry[str], int]] = []
    for own in sorted(_folders(folder)):
        if _class_of(own) not in classes:
            raise DataError(f"{own}: {folder.parent / 'train'} has no such class")
        pictures = _pictures(own)
        if not pictures:
            raise DataError(f"{own} holds no pictures: put some there, or remove the folder")
        found += [(entry, classes.index(_class_of(own))) for entry in pictures]
    if not found:
        raise DataError(f"{folder} holds no pictures")
    found.sort(key=lambda one: (_natural(one[0].name), one[0].path))
    entries = [entry for entry, _ in found]
    start = len(str(folder)) + 1
    with _friendly_os_errors():
        state = [(entry.path[start:], entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries]
    digest = hashlib.md5(repr(state).encode(), usedforsecurity=False).hexdigest()
    return Listing([Path(entry.path) for entry in entries], [label for _, label in found], digest)


def _pictures(folder: Path | str) -> list[os.DirEntry[str]]:
    """The pictures in a folder and its subfolders."""
    found: list[os.DirEntry[str]] = []
    with _friendly_os_errors(), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                found += _pictures(entry.path) if not entry.name.startswith(".") else []
            elif is_picture(entry.name):
                found.append(entry)
    return found


@contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Lock the folder against other processes; on disks without locks each process decodes for itself."""
    with ExitStack() as stack:
        with suppress(OSError, NotImplementedError):
            stack.enter_context(FileLock(root / ".pictures.lock"))
            for unfinished in root.glob("..pictures*.tmp"):  # of a process that was killed
                unfinished.unlink(missing_ok=True)
        yield


def _crc(images: dict[str, Tensor]) -> dict[str, int]:
    """A checksum of each split's pixels: torch.load verifies none."""
    return {name: zlib.crc32(part.numpy().data) for name, part in images.items()}


def _folders(folder: Path) -> list[Path]:
    with _friendly_os_errors():
        return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


@contextmanager
def _friendly_os_errors() -> Iterator[None]:
    """Turn an OSError into a DataError that names the file."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from error


def _class_of(folder: Path) -> str:
    """The folder's name; macOS and Linux may write the same letters with accents differently."""
    return unicodedata.normalize("NFC", folder.name)


def is_picture(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def _natural(name: str) -> list[tuple[int, str]]:
    """A key for natural order: 9.png before 10.png."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]

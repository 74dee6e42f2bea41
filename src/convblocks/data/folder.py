"""A folder of pictures: ``train/<class>/*.png`` and ``test/<class>/*.png``, as torchvision's ImageFolder has them.

The pictures are decoded once, by all cores, and kept beside the folders ``train`` and ``test`` as one file, for as long
as none of them changes its name, size or time.
"""

import hashlib
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from filelock import FileLock
from torch import Tensor

from convblocks.atomic import atomic_write
from convblocks.data.decoding import decode, looks_of
from convblocks.data.images import ImageSets, ImageSource, LabelledImages
from convblocks.errors import DataError

# By these endings pictures are told from other files.
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff")

# Another number, where decoding changes, lets kept pictures be decoded anew.
FORMAT = 1

# The share of the free memory that the pictures may take: training needs some too.
SHARE_OF_MEMORY = 0.8


@dataclass(frozen=True)
class Listing:
    """The picture files of one split, as they lie on the disk.

    ``labels`` has the number of each one's class; ``state`` is the MD5 of all names, sizes and times of change.
    """

    paths: list[Path]
    labels: list[int]
    state: str


State = dict[str, str]


class PictureFolder(ImageSource):
    """Pictures in folders that are named after their classes.

    They come in the order of their file names, whatever their class, numbers in these by value.

    Args:
        root: The folder that holds ``train`` and, if there are test pictures, ``test``.
        size: Height and width to which the pictures are scaled; without it they must be of one size.
    """

    def __init__(self, root: Path, size: tuple[int, int] | None = None) -> None:
        super().__init__(root)
        self.size = size
        self._prepared: ImageSets | None = None

    def prepare(self) -> None:
        """Decode the pictures and keep them, where that can be written; safe to call from several processes.

        Raises:
            DataError: as ``load``.
        """
        if os.access(self.root, os.W_OK):
            self._prepared = self.load()

    def load(self) -> ImageSets:
        """Read all pictures into memory, decoded or as they were kept.

        Raises:
            DataError: there are no classes or no pictures, some cannot be read, differ in size, or are too many for
                the memory.
        """
        if self._prepared:
            prepared, self._prepared = self._prepared, None
            return prepared
        classes = find_classes(self.root / "train")
        splits = {"train": list_pictures(self.root / "train", classes)}
        if (self.root / "test").is_dir():
            splits["test"] = list_pictures(self.root / "test", classes)
        images = self._images(splits)
        parts = {name: LabelledImages(images[name], torch.tensor(split.labels)) for name, split in splits.items()}
        return ImageSets.of(parts["train"], parts.get("test"), classes, self.root)

    def _images(self, splits: dict[str, Listing]) -> dict[str, Tensor]:
        """The pictures of each split: (N, C, H, W) uint8."""
        state = {name: split.state for name, split in splits.items()}
        if (images := self._kept(state)) is not None:
            return images
        if not os.access(self.root, os.W_OK):
            return self._decoded(splits)
        with _lock(self.root):
            if (images := self._kept(state)) is None:
                images = self._decoded(splits)
                # Without them the next run takes longer, no more.
                with suppress(OSError, RuntimeError), atomic_write(kept_file(self.root, self.size)) as file:
                    torch.save({"format": FORMAT, "state": state, "crc": _crc(images), "images": images}, file)
        return images

    def _kept(self, state: State) -> dict[str, Tensor] | None:
        """The pictures of each split, if they were kept, and are as they were then."""
        for size in dict.fromkeys([self.size, None]):
            try:
                path = kept_file(self.root, size)
                if path.stat().st_size > memory_for_pictures():
                    continue  # whoever decodes them says so
                kept = torch.load(path, weights_only=True, mmap=True)  # the pixels only once they are looked at
                images: dict[str, Tensor] = kept["images"]
                fits = self.size in (None, tuple(images["train"].shape[2:]))
                if fits and (kept["format"], kept["state"]) == (FORMAT, state):
                    images = {name: part.clone() for name, part in images.items()}
                    if kept["crc"] == _crc(images):
                        return images
            except Exception:  # no such file, or a damaged one: what torch raises depends on where
                continue
        return None

    def _decoded(self, splits: dict[str, Listing]) -> dict[str, Tensor]:
        paths = [path for split in splits.values() for path in split.paths]
        looks = looks_of(paths)
        height, width = self.size or one_size(self.root, paths, [(one.height, one.width) for one in looks])
        shape = (1 if all(one.grey for one in looks) else 3, height, width)
        refuse_more_than_memory(self.root, len(paths), shape)
        decoded = decode(paths, shape)
        return dict(zip(splits, decoded.split([len(split.paths) for split in splits.values()]), strict=True))


def kept_file(root: Path, size: tuple[int, int] | None) -> Path:
    """Where decoded pictures are kept: scaled to a size, or as they are."""
    return root / f".pictures{'-{}x{}'.format(*size) if size else ''}.pt"


def one_size(root: Path, paths: Sequence[Path], sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The height and width of all pictures, or a DataError that names one of another size than most have."""
    usual, count = Counter(sizes).most_common(1)[0]
    if count < len(sizes):
        path, other = next((path, size) for path, size in zip(paths, sizes, strict=True) if size != usual)
        raise DataError(
            f"the pictures in {root} differ in size: {path} is {other[0]} x {other[1]} (height x width), most are "
            f"{usual[0]} x {usual[1]}: scale them with --data.size HEIGHT WIDTH"
        )
    return usual


def holds_pictures(root: Path) -> bool:
    """Whether there are pictures in a folder, or in the folders in it."""
    for folder in (root, *_folders(root)):
        with suppress(PermissionError):  # what nobody can look into has nothing for us
            if any(_is_picture(path.name) for path in folder.iterdir()):
                return True
    return False


def find_classes(folder: Path) -> list[str]:
    """The names of the classes, in alphabetical order.

    Raises:
        DataError: there are not two of them.
    """
    classes = sorted(path.name for path in _folders(folder))
    if odd := [name for name in classes if not name.isprintable()]:
        raise DataError(f"{folder}: the folder name {odd[0]!r} is no plain text, and cannot be the name of a class")
    if len(classes) < 2:
        found = f"only {classes[0]}" if classes else "none"
        raise DataError(f"{folder} needs a folder of pictures for each of two classes or more, but has {found}")
    return classes


def list_pictures(folder: Path, classes: Sequence[str]) -> Listing:
    """The pictures of a split, in the order of their file names.

    Raises:
        DataError: a folder is of no known class, or has no pictures.
    """
    found: list[tuple[os.DirEntry[str], int]] = []
    for own in sorted(_folders(folder)):
        if own.name not in classes:
            raise DataError(f"{own} is of a class that {folder.parent / 'train'} lacks")
        pictures = _pictures(own)
        if not pictures:
            raise DataError(f"{own} holds no pictures: put some there, or remove the folder")
        found += [(entry, classes.index(own.name)) for entry in pictures]
    if not found:
        raise DataError(f"{folder} holds no pictures")
    found.sort(key=lambda one: (_natural(one[0].name), one[0].path))
    entries = [entry for entry, _ in found]
    start = len(str(folder)) + 1
    with _told_of_files():
        state = [(entry.path[start:], entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries]
    digest = hashlib.md5(repr(state).encode(), usedforsecurity=False).hexdigest()
    return Listing([Path(entry.path) for entry in entries], [label for _, label in found], digest)


def _pictures(folder: Path | str) -> list[os.DirEntry[str]]:
    """The pictures in a folder, and in the folders in it."""
    found: list[os.DirEntry[str]] = []
    with _told_of_files(), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                found += _pictures(entry.path) if not entry.name.startswith(".") else []
            elif _is_picture(entry.name):
                found.append(entry)
    return found


def refuse_more_than_memory(root: Path, count: int, shape: tuple[int, int, int]) -> None:
    """Raise a DataError where that many images of that shape do not fit into what memory is free."""
    channels, height, width = shape
    needed, free = count * channels * height * width, memory_for_pictures()
    if needed > free:
        raise DataError(
            f"the {count:,} pictures in {root} would take {needed / 1e9:,.1f} GB of memory at {height} x {width} "
            f"pixels, and {free / 1e9:,.1f} GB are free for them: give a smaller --data.size HEIGHT WIDTH"
        )


def memory_for_pictures() -> float:
    """In bytes."""
    return SHARE_OF_MEMORY * psutil.virtual_memory().available


@contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Keep other processes waiting, as far as the disk knows locks: without them each decodes for itself."""
    with ExitStack() as stack:
        with suppress(OSError, NotImplementedError):
            stack.enter_context(FileLock(root / ".pictures.lock"))
            for unfinished in root.glob("..pictures*.tmp"):  # of a process that was killed
                unfinished.unlink(missing_ok=True)
        yield


def _crc(images: dict[str, Tensor]) -> dict[str, int]:
    """The checksum of the pictures of each split, which torch does not check."""
    return {name: zlib.crc32(part.numpy().data) for name, part in images.items()}


def _folders(folder: Path) -> list[Path]:
    with _told_of_files():
        return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


@contextmanager
def _told_of_files() -> Iterator[None]:
    """With a DataError for a file or folder that cannot be looked at."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from error


def _is_picture(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def _natural(name: str) -> list[tuple[int, str]]:
    """A key to sort by: 9.png comes before 10.png."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]

"""A folder of pictures, ``train/<class>/*.png`` and ``test/<class>/*.png``, as for
torchvision's ImageFolder.

The pictures are decoded once, on all cores, and kept in one file beside ``train`` and
``test``. It is valid as long as each picture is the same file, of the same size and times;
where they are not, as in a copy of the folder, as long as the files' content is the same.
Pictures that do not fit into memory are decoded batch by batch, and the file only keeps
what was found out about them.
"""

import hashlib
import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import psutil
import torch
from torch import Tensor

from convblocks.data.images import ImageSets, ImageSource, ImageSpec, LabelledImages, Shape, Size
from convblocks.errors import DataError
from convblocks.files import machine_lock
from convblocks.pictures.decoding import FEW, decode, digest_of, for_all, read_shape
from convblocks.pictures.lazy import LazyImages
from convblocks.text import Settings
from exact_resume.files import atomic_write, remove_unfinished

# Files with other endings are ignored.
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff")

# Increment it when decoding or the kept file changes: pictures are then decoded again.
FORMAT = 6

# The share of the free memory that images may take; the rest is for copies of those
# held out, and for training.
SHARE_OF_MEMORY = 0.4


def find(root: Path, size: Size | None) -> ImageSource | None:
    """The pictures in a folder, if there are any."""
    return PictureFolder(root, size) if (root / "train").is_dir() else None


@dataclass(frozen=True)
class Listing:
    """The picture files of a folder."""

    classes: list[str]
    paths: Sequence[Path]  # those of ``train`` before those of ``test``
    labels: Tensor  # (N,) int64
    training: int  # how many are in ``train``
    names: list[str]  # relative to the folder
    # the MD5 of all names, sizes, times and numbers of files
    key: str

    @classmethod
    def of(cls, root: Path) -> "Listing":
        """The files of a folder.

        Raises:
            DataError: see ``find_classes`` and ``list_pictures``.
        """
        classes = find_classes(root / "train")
        pictures = train = list_pictures(root / "train", classes)
        if (root / "test").is_dir():
            pictures = train + list_pictures(root / "test", classes)
        paths, labels = zip(*pictures, strict=True)
        names = [str(path.relative_to(root)) for path in paths]
        state = []
        for path in paths:
            stat = path.stat()
            times = stat.st_mtime_ns, stat.st_ctime_ns
            state.append((stat.st_size, *times, stat.st_ino))
        key = _md5(repr((FORMAT, names, state)).encode())
        return cls(classes, paths, torch.tensor(labels), len(train), names, key)

    @cached_property
    def content(self) -> str:
        """The MD5 of all names and files, which are read for it once.

        Raises:
            DataError: one cannot be read.
        """
        digests = for_all(self.paths, digest_of)
        return _md5(repr((FORMAT, [*zip(self.names, digests, strict=True)])).encode())

    def split(self, images: Tensor) -> tuple[LabelledImages, LabelledImages]:
        """The training images and the test images, of which there may be none."""
        everything = LabelledImages(images, self.labels)
        return everything[: self.training], everything[self.training :]


class PictureFolder(ImageSource):
    """Pictures in folders named after their classes, in the order of their file names
    whatever their class.

    Args:
        root: The folder with ``train`` and, if there are test pictures, ``test``.
        size: Height and width to scale the pictures to; without it they must all have
            one size.
    """

    def __init__(self, root: Path, size: Size | None = None) -> None:
        super().__init__(root)
        self.size = size

    def load(self) -> ImageSets:
        """Read all pictures into memory, from the kept file if it is valid; where they
        do not fit, they stay lazy.

        Of several processes on a machine one decodes them.

        Raises:
            DataError: there are no classes or no pictures, or some cannot be read or
                differ in size.
        """
        listing = Listing.of(self.root)
        sets = self._kept(listing)
        if sets is None:
            with machine_lock(kept_file(self.root.resolve())):
                sets = self._kept(listing) or self._kept(listing, in_a_copy=True)
                sets = sets or self._decoded(listing)
        return sets

    def _kept(self, listing: Listing, in_a_copy: bool = False) -> ImageSets | None:
        """The images that an earlier run kept, of these files or, where the content decides, of
        others like these; None if there are none, or they are not up to date.
        """
        try:
            # Pixels are read when they are used.
            kept = torch.load(kept_file(self.root), weights_only=True, mmap=True)
            image_spec = ImageSpec.from_dict(kept["image_spec"])
            is_same = kept["key"] == listing.key
            if in_a_copy and kept["content"] == listing.content:
                is_same = True
                self._keep(kept | {"key": listing.key})
            if not is_same or self.size not in (kept["size"], image_spec.shape[1:]):
                return None
            fingerprint = kept["fingerprint"]
            note = self._beyond_memory(len(listing.paths), image_spec.shape)
            if note:
                images = LazyImages(listing.paths, image_spec.shape)
                return ImageSets(*listing.split(images), image_spec, fingerprint, note)
            sets = self._sets(listing, kept["images"].clone())
            return sets if sets.fingerprint == fingerprint else None
        # A missing or damaged file, for which torch raises many types, or one without
        # pixels.
        except Exception:
            return None

    def _decoded(self, listing: Listing) -> ImageSets:
        """The images, decoded, and kept if the folder is writable; those that stay lazy
        are decoded for their mean.
        """
        paths = listing.paths
        if len(paths) > FEW:
            print(f"Decoding {len(paths):,} pictures", file=sys.stderr)
        shape = self._shape(paths)
        note = self._beyond_memory(len(paths), shape)
        images = LazyImages(paths, shape) if note else decode(paths, shape)
        sets = replace(self._sets(listing, images), note=note)
        kept = {
            "key": listing.key,
            "content": listing.content,
            "size": self.size,
            "images": None if note else images,
            "image_spec": sets.image_spec.as_dict(),
            "fingerprint": sets.fingerprint,
        }
        self._keep(kept)
        return sets

    def _keep(self, kept: Settings) -> None:
        """If the folder is read-only or the disk full, the next run decodes again."""
        with suppress(OSError, RuntimeError):
            remove_unfinished(self.root)
            with atomic_write(kept_file(self.root)) as file:
                torch.save(kept, file)

    def _sets(self, listing: Listing, images: Tensor) -> ImageSets:
        train, test = listing.split(images)
        # One without images is false.
        return ImageSets.of(train, test or None, listing.classes)

    def _shape(self, paths: Sequence[Path]) -> Shape:
        """(C, H, W) of the decoded pictures, from their headers; in colour if any is.

        Raises:
            DataError: they differ in size and are not to be scaled, or one cannot be read.
        """
        shapes = [*for_all(paths, read_shape)]
        _, height, width = shapes[0]
        for path, (_, *size) in zip(paths, shapes, strict=True):
            if not self.size and size != [height, width]:
                raise DataError(
                    f"the pictures in {self.root} differ in size: "
                    f"{path} is {size[0]} x {size[1]} (height x width), "
                    f"{paths[0]} is {height} x {width}: "
                    "scale them with --data.size HEIGHT WIDTH"
                )
        channels = max(shape[0] for shape in shapes)
        return channels, *(self.size or (height, width))

    def _beyond_memory(self, count: int, shape: Shape) -> str:
        """Why the pictures stay lazy; empty if they fit into memory."""
        needed = count * math.prod(shape)
        free = SHARE_OF_MEMORY * psutil.virtual_memory().available
        if needed <= free:
            return ""
        return (
            f"{count:,} pictures of {shape[1]} x {shape[2]} pixels "
            f"need {needed / 1e9:,.1f} GB decoded, {free / 1e9:,.1f} GB are free: "
            "they are decoded as they are needed, which is slower."
        )


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def kept_file(root: Path) -> Path:
    """The file for decoded pictures, or for what is known of those that stay lazy."""
    return root / ".pictures.pt"


def find_classes(folder: Path) -> list[str]:
    """The names of the classes, in alphabetical order.

    Raises:
        DataError: there are fewer than two.
    """
    classes = [path.name for path in _folders(folder)]
    if len(classes) < 2:
        raise DataError(f"{folder} needs folders of pictures for two or more classes")
    return classes


def list_pictures(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """The pictures of a split and their labels, in the order of their file names.

    Raises:
        DataError: a folder is not one of the classes, or has no pictures.
    """
    pictures = []
    for path in _folders(folder):
        if path.name not in classes:
            raise DataError(f"{path}: {folder.parent / 'train'} has no such class")
        members = _pictures(path)
        if not members:
            raise DataError(f"{path} holds no pictures: put some there, or remove the folder")
        label = classes.index(path.name)
        pictures += [(picture, label) for picture in members]
    return sorted(pictures, key=lambda pair: (pair[0].name, str(pair[0])))


def _folders(folder: Path) -> list[Path]:
    return [path for path in _members(folder) if path.is_dir()]


def _pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and its subfolders.

    Raises:
        DataError: a link leads to a folder above, whose pictures would be there again.
    """
    pictures = pictures_in(folder)
    for subfolder in _folders(folder):
        if folder.resolve().is_relative_to(subfolder.resolve()):
            raise DataError(f"{subfolder} is a link to a folder that it is in: remove it")
        pictures += _pictures(subfolder)
    return pictures


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder, without those in its subfolders, in sorted order."""
    named = [path for path in _members(folder) if path.name.lower().endswith(ENDINGS)]
    return [path for path in named if not path.is_dir()]


def _members(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))

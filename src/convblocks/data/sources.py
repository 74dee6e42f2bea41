"""Finds the source for the data set in a folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from convblocks.data import mnist
from convblocks.data.folder import PictureFolder, holds_pictures
from convblocks.data.images import ImageSets, ImageSource
from convblocks.errors import DataError, UsageError


class MNISTFiles(ImageSource):
    """The four files of MNIST, or another data set in its format."""

    def prepare(self) -> None:
        mnist.prepare(self.root)

    def load(self) -> ImageSets:
        return mnist.load(self.root)


def load_images(source: ImageSource) -> ImageSets:
    """The image sets of a source.

    Raises:
        DataError: the data cannot be read.
        UsageError: the source does not return ImageSets.
    """
    read: Any = source.load()
    if not isinstance(read, ImageSets):
        name = f"{type(source).__module__}.{type(source).__qualname__}"
        raise UsageError(f"the source {name} loads a {type(read).__name__}, not ImageSets: make them with ImageSets.of")
    return read if read.folder != Path() else replace(read, folder=source.root)


def find_source(root: Path, size: tuple[int, int] | None = None) -> ImageSource:
    """The source for the data in a folder.

    Args:
        root: The folder.
        size: Height and width to scale pictures to.

    Raises:
        DataError: the folder has pictures, but no folder ``train``.
        UsageError: a size was given, but these are not pictures.
    """
    if root.is_dir() and mnist.find_folder(root) is None:
        if (root / "train").is_dir():
            return PictureFolder(root, size)
        if (root / "test").is_dir() or holds_pictures(root):
            raise DataError(f"{root} has no folder train: put the pictures into train/<class>/ and test/<class>/")
    if size:
        raise UsageError(f"--data.size is for folders of pictures: {root} has no folder train")
    return MNISTFiles(root)

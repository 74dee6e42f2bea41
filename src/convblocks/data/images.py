"""Labelled images in memory, what a network needs to know about them, and the interface of their sources."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from convblocks.errors import DataError, UsageError

# The names of further classes are left out in messages.
MOST_NAMES = 30

# Of an image; larger ones are a mistake, or a forged checkpoint.
MOST_PIXELS = 10**8

# Mean and standard deviation are rounded to so many digits, which gives the course's 0.1307 and 0.3081 for MNIST.
DIGITS = 4

# Images counted at a time.
PART = 100

# The share of the free memory that images may take; the rest is for training.
SHARE_OF_MEMORY = 0.8


@dataclass(frozen=True)
class ImageSpec:
    """Shape, classes, mean and standard deviation of the images of a data set.

    Args:
        channels: 1 for grey images, 3 for colour.
        height: In pixels.
        width: In pixels.
        classes: The names of the classes, in the order of their labels.
        mean: Mean of each channel over the training images, scaled to [0, 1].
        std: Standard deviation, likewise.

    Raises:
        UsageError: an impossible shape, fewer than two classes, two classes of one name, or a wrong mean or std.
    """

    channels: int
    height: int
    width: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.channels not in (1, 3) or min(self.shape) < 1:
            raise UsageError(f"images of shape {self.shape}: they must have 1 or 3 channels, and pixels")
        if self.height * self.width > MOST_PIXELS:
            raise UsageError(f"images of {self.height} x {self.width} pixels: {MOST_PIXELS:,} are the most")
        if odd := [name for name in self.classes if not name.isprintable()]:
            raise UsageError(f"the class name {odd[0]!r} is not plain text")
        if len(set(self.classes)) < max(len(self.classes), 2):
            raise UsageError(f"two or more classes with different names are needed, not {self.classes}")
        if not len(self.mean) == len(self.std) == self.channels or min(self.std) <= 0:
            raise UsageError(f"each of {self.channels} channels needs a mean, and a standard deviation above 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return self.channels, self.height, self.width

    def normalize(self, images: Tensor) -> Tensor:
        """Scale uint8 images (B, C, H, W) to [0, 1], then each channel to mean 0 and standard deviation 1: float32."""
        return self.normalizer(images.device)(images)

    def normalizer(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """What ``normalize`` does, for many batches on one device."""
        # Tensors on the device: on CUDA torch divides by a Python number as an inexact product with its reciprocal.
        white = torch.full((), 255.0, device=device)
        mean, std = (_of_each_channel(values, device) for values in (self.mean, self.std))
        return lambda images: images.to(torch.float32).div_(white).sub_(mean).div_(std)

    def same_images(self, other: "ImageSpec") -> bool:
        """Whether shape and classes are the same, so that a network for the one takes the images of the other."""
        return (self.shape, self.classes) == (other.shape, other.classes)

    def __str__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        some = ", ".join(self.classes[:MOST_NAMES]) + (", ..." if len(self.classes) > MOST_NAMES else "")
        return f"{shape} pixels, {len(self.classes)} classes ({some})"

    def as_dict(self) -> dict[str, Any]:
        """As plain values for a checkpoint, YAML and JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ImageSpec":
        """The inverse of ``as_dict``.

        Raises:
            UsageError: these are not the values of an image spec.
        """
        try:
            channels, height, width = (int(values[name]) for name in ("channels", "height", "width"))
            classes = tuple(str(name) for name in values["classes"])
            mean, std = (tuple(float(value) for value in values[name]) for name in ("mean", "std"))
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{values!r} is not an image spec: {error!r}") from error
        return cls(channels, height, width, classes, mean, std)


def _of_each_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Values as (C, 1, 1), filled in on the device: a copy would make the CPU wait."""
    return torch.stack([torch.full((1, 1), value, device=device) for value in values])


# Mean and standard deviation are those of the course.
MNIST = ImageSpec(1, 28, 28, classes=tuple("0123456789"), mean=(0.1307,), std=(0.3081,))


@dataclass(frozen=True)
class LabelledImages:
    """Images (N, C, H, W) uint8 and their labels (N,) int64, the indices of their classes."""

    images: Tensor
    labels: Tensor

    def __getitem__(self, indices: Tensor | slice) -> "LabelledImages":
        return LabelledImages(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> "LabelledImages":
        """These images on a device; not copied if they are there already."""
        return LabelledImages(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class ImageSets:
    """A training set and a test set.

    Args:
        train: The training images.
        test: The test images; empty if there are none.
        image_spec: Shape, classes and normalisation of both.
        fingerprint: The MD5 of each part of the data, by which a resumed run recognises its data.
        folder: The folder they were read from.
        original: Whether they are MNIST's own files.
        note: What ``fit`` says about them.
    """

    train: LabelledImages
    test: LabelledImages
    image_spec: ImageSpec
    fingerprint: dict[str, str]
    folder: Path = Path()
    original: bool = False
    note: str = ""

    @classmethod
    def of(
        cls, train: LabelledImages, test: LabelledImages | None, classes: Sequence[str], folder: Path = Path()
    ) -> "ImageSets":
        """Image sets, with mean, standard deviation and fingerprint computed from the images.

        Raises:
            DataError: the images are not (N, C, H, W) uint8, differ in shape, or have labels out of range.
        """
        parts = {"training set": train} | ({"test set": test} if test else {})
        channels, height, width = train.images.shape[1:] if train.images.ndim == 4 else (0, 0, 0)
        for name, part in parts.items():
            _check(name, part, (channels, height, width), len(classes))
        seen = {name: count(part) for name, part in parts.items()}
        mean, std = mean_and_std(seen["training set"][0])
        image_spec = ImageSpec(channels, height, width, tuple(classes), mean, std)
        fingerprint = {name: md5 for name, (_, md5) in seen.items()}
        fingerprint["list of classes"] = hashlib.md5("\n".join(classes).encode(), usedforsecurity=False).hexdigest()
        return cls(train, test or train[:0], image_spec, fingerprint, folder)


class ImageSource(ABC):
    """Reads a data set. A source of your own only needs ``load``.

    Args:
        root: The folder that ``--data.root`` names.
    """

    # Height and width to scale pictures to, for sources that scale; and how many times all images must fit into memory.
    size: tuple[int, int] | None = None
    copies: int = 1

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:  # noqa: B027  # most have nothing to prepare
        """Download or unpack missing files; called in each process, one at a time on each machine."""

    @abstractmethod
    def load(self) -> ImageSets:
        """Read all images into memory; called in each process."""


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


def memory_for_images() -> float:
    """Memory that images may take, in bytes."""
    return SHARE_OF_MEMORY * psutil.virtual_memory().available


def count(part: LabelledImages) -> tuple[Tensor, str]:
    """How often each channel has each of the 256 values, (C, 256) int64, and the MD5 of shape, pixels and labels.

    In one go, as the images may have to be decoded for it.
    """
    content = hashlib.md5(str(tuple(part.images.shape)).encode(), usedforsecurity=False)
    counts = torch.zeros(part.images.shape[1], 256, dtype=torch.int64)
    for images in part.images.split(PART):
        content.update(images.contiguous().numpy().data)
        # Flattening copies.
        counts += torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(dim=1)])
    content.update(part.labels.contiguous().numpy().data)
    return counts, content.hexdigest()


def mean_and_std(counts: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, scaled to [0, 1], to four digits, from the counts (C, 256) int64.

    So no sum is rounded. A constant channel gets a standard deviation of 1, and is 0 after normalisation.
    """
    means, deviations = [], []
    values = torch.arange(256, dtype=torch.float64) / 255
    for shares in counts.double() / counts.sum(dim=1, keepdim=True):
        mean = (shares * values).sum()
        means.append(round(float(mean), DIGITS))
        deviations.append(round(float((shares * (values - mean) ** 2).sum().sqrt()), DIGITS) or 1.0)
    return tuple(means), tuple(deviations)


def _check(name: str, part: LabelledImages, shape: tuple[int, ...], classes: int) -> None:
    images, labels = part.images, part.labels
    if images.dtype != torch.uint8 or images.ndim != 4 or tuple(images.shape[1:]) != shape or not len(images):
        raise DataError(
            f"the {name}'s images must be (N, C, H, W) uint8, all of one shape, but are {tuple(images.shape)}"
        )
    if labels.dtype != torch.int64 or labels.shape != (len(images),):
        raise DataError(f"the {name}'s labels must be ({len(images)},) int64, not {tuple(labels.shape)} {labels.dtype}")
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(
            f"the {name}'s labels must be in 0..{classes - 1}, but go from {labels.min()} to {labels.max()}"
        )

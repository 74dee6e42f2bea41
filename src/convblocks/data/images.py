"""Labelled images in memory, and the interface of their sources."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from convblocks.data.image_spec import ImageSpec
from convblocks.errors import DataError

# Mean and standard deviation are rounded to so many digits, which gives the course's 0.1307 and 0.3081 for MNIST.
DIGITS = 4

# Images counted at a time.
PART = 1000


@dataclass(frozen=True)
class LabelledImages:
    """Images (N, C, H, W) uint8 and their labels (N,) int64, the indices of their classes."""

    images: Tensor
    labels: Tensor

    def __getitem__(self, indices: Tensor) -> "LabelledImages":
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
    """

    train: LabelledImages
    test: LabelledImages
    image_spec: ImageSpec
    fingerprint: dict[str, str]
    folder: Path = Path()
    original: bool = False

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
        mean, std = mean_and_std(train.images)
        image_spec = ImageSpec(channels, height, width, tuple(classes), mean, std)
        none = LabelledImages(train.images[:0], train.labels[:0])
        fingerprint = {name: md5(part) for name, part in parts.items()}
        return cls(train, test or none, image_spec, fingerprint, folder)


class ImageSource(ABC):
    """Reads a data set. A source of your own only needs ``load``.

    Args:
        root: The folder that ``--data.root`` names.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:  # noqa: B027  # most have nothing to prepare
        """Download or unpack missing files; called in each process, one at a time on each machine."""

    @abstractmethod
    def load(self) -> ImageSets:
        """Read all images into memory; called in each process."""


def mean_and_std(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of images (N, C, H, W) uint8, scaled to [0, 1], to four digits.

    Computed from the counts of the 256 values, so that no sum is rounded. A constant channel gets a standard deviation
    of 1, and is 0 after normalisation.
    """
    means, deviations = [], []
    values = torch.arange(256, dtype=torch.float64) / 255
    for channel in images.unbind(dim=1):
        parts = channel.split(PART)  # flattening copies
        counts = torch.stack([torch.bincount(part.flatten(), minlength=256) for part in parts]).sum(dim=0)
        shares = counts.double() / channel.numel()
        mean = (shares * values).sum()
        means.append(round(float(mean), DIGITS))
        deviations.append(round(float((shares * (values - mean) ** 2).sum().sqrt()), DIGITS) or 1.0)
    return tuple(means), tuple(deviations)


def md5(part: LabelledImages) -> str:
    """MD5 of shape, pixels and labels."""
    content = hashlib.md5(str(tuple(part.images.shape)).encode(), usedforsecurity=False)
    for tensor in (part.images, part.labels):
        content.update(tensor.contiguous().numpy().data)
    return content.hexdigest()


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

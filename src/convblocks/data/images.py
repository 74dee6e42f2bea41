"""Labelled images in memory, what a network needs to know about them, and the interface
of their sources.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import shorten

import msgspec
import torch
from torch import Tensor

from convblocks.errors import DataError, UsageError
from convblocks.text import Settings, as_plain

# The digits of the mean and the standard deviation of a data set, which give the course's 0.1307
# and 0.3081 for MNIST.
SPEC_DIGITS = 4

PerChannel = tuple[float, ...]

# Height and width, in pixels.
Size = tuple[int, int]

# Channels, height and width.
Shape = tuple[int, int, int]

# Images counted at a time.
COUNT_CHUNK = 100


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
        UsageError: an impossible shape, fewer than two classes, two of one name, or a
            name that is not plain text.
    """

    channels: int
    height: int
    width: int
    classes: tuple[str, ...]
    mean: PerChannel
    std: PerChannel

    def __post_init__(self) -> None:
        if self.channels not in (1, 3) or min(self.shape) < 1:
            raise UsageError(
                f"images of shape {self.shape}: they must have 1 or 3 channels, and pixels"
            )
        names = self.classes
        are_different = len(set(names)) == len(names) >= 2
        if not (are_different and all(map(str.isprintable, names))):
            raise UsageError(
                f"two or more classes with different names in plain text are needed, not {names}"
            )

    @property
    def shape(self) -> Shape:
        """The shape of one image: (C, H, W)."""
        return self.channels, self.height, self.width

    def normalize(self, images: Tensor) -> Tensor:
        """Scale uint8 images (B, C, H, W) to [0, 1], then each channel to mean 0 and
        standard deviation 1: float32.
        """
        return self.normalizer(images.device)(images)

    def normalizer(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """A function that does what ``normalize`` does, for many batches on one device."""
        # Tensors on the device: on CUDA torch divides by a Python number as an inexact
        # product with its reciprocal.
        white = torch.full((), 255.0, device=device)
        mean, std = (
            torch.tensor(values, device=device).view(-1, 1, 1) for values in (self.mean, self.std)
        )
        return lambda images: images.to(torch.float32).div_(white).sub_(mean).div_(std)

    def same_images(self, other: "ImageSpec") -> bool:
        """True if shape and classes are the same, so that a network takes images of both."""
        return (self.shape, self.classes) == (other.shape, other.classes)

    def __str__(self) -> str:
        names = shorten(", ".join(self.classes), 300, placeholder=" ...")
        return f"{' x '.join(map(str, self.shape))} pixels, {len(self.classes)} classes ({names})"

    def as_dict(self) -> Settings:
        """The spec in plain values, for a checkpoint, YAML and JSON."""
        return dict(as_plain(asdict(self)))

    @classmethod
    def from_dict(cls, values: Settings) -> "ImageSpec":
        """The inverse of ``as_dict``."""
        return msgspec.convert(values, cls)


# Mean and standard deviation are those of the course.
MNIST = ImageSpec(1, 28, 28, classes=tuple("0123456789"), mean=(0.1307,), std=(0.3081,))


@dataclass(frozen=True)
class LabelledImages:
    """Images (N, C, H, W) uint8 and their labels (N,) int64, the indices of their classes."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

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
        note: A line that ``fit`` prints about them.
    """

    train: LabelledImages
    test: LabelledImages
    image_spec: ImageSpec
    fingerprint: dict[str, str]
    note: str = ""

    @classmethod
    def of(
        cls, train: LabelledImages, test: LabelledImages | None, classes: Sequence[str]
    ) -> "ImageSets":
        """Image sets, with mean, standard deviation and fingerprint computed from the
        images.

        Raises:
            DataError: the images are not (N, C, H, W) uint8, differ in shape, or have
                labels out of range.
        """
        shape = train.images.shape[1:]
        _check("training set", train, shape, len(classes))
        counts, train_md5 = count(train)
        fingerprint = {"training set": train_md5}
        if test is not None:
            _check("test set", test, shape, len(classes))
            _, fingerprint["test set"] = count(test)
        channels, height, width = shape
        image_spec = ImageSpec(channels, height, width, tuple(classes), *mean_and_std(counts))
        names = "\n".join(classes).encode()
        fingerprint["list of classes"] = hashlib.md5(names, usedforsecurity=False).hexdigest()
        return cls(train, test or train[:0], image_spec, fingerprint)


class ImageSource(ABC):
    """Reads a data set. A source of your own only needs ``load``.

    Args:
        root: The folder that ``--data.root`` names.
    """

    # Height and width to which the pictures are scaled, in sources that do so.
    size: Size | None = None

    def __init__(self, root: Path) -> None:
        self.root = root

    # Most sources have nothing to prepare.
    def prepare(self) -> None:  # noqa: B027
        """Download or unpack missing files; called in each process, one at a time on
        each machine.
        """

    @abstractmethod
    def load(self) -> ImageSets:
        """Read all images into memory; called in each process."""


def count(part: LabelledImages) -> tuple[Tensor, str]:
    """The number of pixels that have each of the 256 values, by channel, (C, 256) int64; and
    the MD5 of shape, pixels and labels.

    Both in one go, since the images may have to be decoded for it.
    """
    content = hashlib.md5(str(tuple(part.images.shape)).encode(), usedforsecurity=False)
    counts = torch.zeros(part.images.shape[1], 256, dtype=torch.int64)
    for images in part.images.split(COUNT_CHUNK):
        content.update(images.contiguous().numpy().data)
        rows = [
            torch.bincount(channel.flatten(), minlength=256)  # flattening copies
            for channel in images.unbind(dim=1)
        ]
        counts += torch.stack(rows)
    content.update(part.labels.contiguous().numpy().data)
    return counts, content.hexdigest()


def mean_and_std(counts: Tensor) -> tuple[PerChannel, PerChannel]:
    """Mean and standard deviation of each channel, scaled to [0, 1], to four digits,
    from the counts (C, 256) int64.

    Counts are exact, so the result does not depend on the order of the images. A
    constant channel gets a standard deviation of 1, and is 0 when normalised.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    shares = counts / counts.sum(dim=1, keepdim=True, dtype=torch.float64)
    means = (shares * values).sum(dim=1)
    deviations = (shares * (values - means[:, None]) ** 2).sum(dim=1).sqrt()
    return (
        tuple(round(mean, SPEC_DIGITS) for mean in means.tolist()),
        tuple(round(deviation, SPEC_DIGITS) or 1.0 for deviation in deviations.tolist()),
    )


def _check(name: str, part: LabelledImages, shape: torch.Size, classes: int) -> None:
    images, labels = part.images, part.labels
    is_alike = images.ndim == 4 and images.shape[1:] == shape
    if not (is_alike and images.dtype == torch.uint8 and len(images)):
        raise DataError(
            f"the {name}'s images must be (N, C, H, W) uint8, all of one shape, "
            f"not {tuple(images.shape)}"
        )
    are_indices = labels.dtype == torch.int64 and labels.shape == (len(images),)
    if not (are_indices and 0 <= int(labels.min()) <= int(labels.max()) < classes):
        raise DataError(
            f"the {name}'s labels must be ({len(images)},) int64, each in 0..{classes - 1}"
        )

"""The image spec: everything a network needs to know about the images of a data set."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from convblocks.errors import UsageError

# The names of further classes are left out in messages.
MOST_NAMES = 30


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
        if len(set(self.classes)) < max(len(self.classes), 2):
            raise UsageError(f"two or more classes with different names are needed, not {self.classes}")
        if not len(self.mean) == len(self.std) == self.channels or min(self.std) <= 0:
            raise UsageError(f"each of {self.channels} channels needs a mean, and a standard deviation above 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image: (channels, height, width)."""
        return self.channels, self.height, self.width

    def normalize(self, images: Tensor) -> Tensor:
        """Scale uint8 images (B, C, H, W) to [0, 1], then each channel to mean 0 and standard deviation 1: float32."""
        # Tensors on the device: on CUDA torch divides by a Python number as an inexact product with its reciprocal.
        white = torch.full((), 255.0, device=images.device)
        mean, std = (_of_each_channel(values, images.device) for values in (self.mean, self.std))
        return images.to(torch.float32).div_(white).sub_(mean).div_(std)

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

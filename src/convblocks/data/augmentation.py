"""Random shifts, rotations, scalings and flips, drawn for each image separately."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from convblocks.data.randomness import epoch_generator

# Separate random streams: independent of the shuffle of the same epoch (stream 0), and of each other.
STREAM = 1
FLIP_STREAM = 2


@dataclass(frozen=True)
class Augmentation:
    """The largest movement of an image in either direction: shift in pixels, rotation in degrees, scale as 1 ± s.

    Each of the four movements (right, down, rotation, scale) is drawn uniformly. An image is rotated and scaled about
    its centre, then shifted; the area moved in is black, as around MNIST's digits, or repeats the edge. With ``flip``
    half of the images are first mirrored left to right.
    """

    shift: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    flip: bool = False
    black_outside: bool = True

    def __bool__(self) -> bool:
        return self._moves or self.flip

    @property
    def _moves(self) -> bool:
        return bool(self.shift or self.rotation or self.scale)

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augment images (B, C, H, W) uint8 by draws (B, 5) float32 in -1..1: (B, C, H, W) uint8."""
        if not len(images):
            return images
        if self.flip:
            images = torch.where((draws[:, 4] < 0).view(-1, 1, 1, 1), images.flip(-1), images)
        return self._moved(images, draws[:, :4]) if self._moves else images

    def _moved(self, images: Tensor, draws: Tensor) -> Tensor:
        height, width = images.shape[2:]
        limits = (2 * self.shift / width, 2 * self.shift / height, self.rotation, self.scale)  # no copy to the device
        right, down, degrees, growth = (draw * limit for draw, limit in zip(draws.unbind(dim=1), limits, strict=True))
        angle, size = degrees.deg2rad(), 1 + growth
        cos, sin = angle.cos() / size, angle.sin() / size
        aspect = height / width  # otherwise images that are not square would be sheared
        # Maps each output pixel to its position in the input, in units of half the image.
        rows = torch.stack([cos, sin * aspect, -right, -sin / aspect, cos, -down], dim=1).view(-1, 2, 3)
        grid = functional.affine_grid(rows, [len(images), 1, height, width], align_corners=False)
        # Bicubic, since bilinear interpolation blurs: a network trained on blurred digits is worse at sharp ones.
        edge = "zeros" if self.black_outside else "border"
        moved = functional.grid_sample(
            images.to(grid.dtype), grid, mode="bicubic", padding_mode=edge, align_corners=False
        )
        return moved.clamp_(0, 255).round_().to(torch.uint8)


def epoch_draws(size: int, seed: int, epoch: int) -> Tensor:
    """Random numbers (size, 5) float32 in -1..1 for the images of an epoch, a function of (seed, epoch, index).

    Drawn for all images at once, so that an image is augmented in the same way whatever the order of the images and
    their split into batches and processes.
    """
    movements = torch.rand(size, 4, generator=epoch_generator(seed, epoch, STREAM))
    flips = torch.rand(size, 1, generator=epoch_generator(seed, epoch, FLIP_STREAM))
    return torch.cat([movements, flips], dim=1).mul_(2).sub_(1)

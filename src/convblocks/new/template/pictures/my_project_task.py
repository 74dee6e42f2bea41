"""The task: flowers that this program draws, and a network that counts their petals.
Replace both with your own.
"""

from itertools import pairwise

import torch
from convblocks import ImageSets, ImageSource, ImageSpec, LabelledImages
from torch import Tensor, nn

PETALS = {"three petals": 3, "five petals": 5, "seven petals": 7}
SIZE = 32  # pixels


class MyProjectData(ImageSource):
    """2,000 flowers to train on and 500 to test; the same ones each time, or a run
    could not be resumed.
    """

    def load(self) -> ImageSets:
        # For your own pictures, in pictures/train/CLASS/* and pictures/test/CLASS/*,
        # this is all:
        #     from convblocks import PictureFolder
        #     return PictureFolder(self.root / "pictures", size=(SIZE, SIZE)).load()
        # Anything else works too: uint8 images (N, C, H, W) with 1 or 3 channels, and
        # int64 labels (N,) from 0.
        return ImageSets.of(draw(2000, seed=0), draw(500, seed=1), classes=list(PETALS))


def draw(count: int, seed: int) -> LabelledImages:
    """Flowers of random colour, size, place and angle on a noisy background."""
    random = torch.Generator().manual_seed(seed)

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=random)

    labels = torch.randint(len(PETALS), (count,), generator=random)  # (N,)
    petals = torch.tensor(list(PETALS.values()))[labels].view(-1, 1, 1)
    axis = torch.linspace(-1, 1, SIZE)
    x = axis.view(1, 1, -1) + between(-0.3, 0.3, 1, 1)
    y = axis.view(1, -1, 1) + between(-0.3, 0.3, 1, 1)
    distance = torch.hypot(x, y)  # (N, H, W)
    angle = torch.atan2(y, x) + between(-3.14, 3.14, 1, 1)
    edge = between(0.4, 0.8, 1, 1) * (0.75 + 0.25 * torch.cos(petals * angle))
    flower = between(0.3, 1, 3, 1, 1)
    background = between(0, 0.6, 3, SIZE, SIZE)
    images = torch.where((distance < edge)[:, None], flower, background)
    return LabelledImages((255 * images).to(torch.uint8), labels)  # (N, 3, H, W)


class MyProjectNetwork(nn.Module):
    """Images (B, C, H, W) -> logits (B, classes): three blocks of convolution, and a linear layer.

    Args:
        image_spec: Shape and classes of the images; convblocks passes it.
        width: Channels of the first block; set it with ``network: {width: 32}`` in config.yaml.
    """

    def __init__(self, image_spec: ImageSpec, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = [image_spec.channels, width, 2 * width, 4 * width]
        for before, after in pairwise(channels):
            layers += [
                nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.MaxPool2d(2),  # halves height and width
            ]
        self.layers = nn.Sequential(
            *layers,
            nn.AdaptiveMaxPool2d(1),  # images of any size
            nn.Flatten(),
            nn.Linear(4 * width, len(image_spec.classes)),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)  # (B, classes)
        return logits

"""The images: flowers with three, five or seven petals, drawn by this program. Replace them with your own."""

import torch
from convblocks import ImageSets, ImageSource, LabelledImages
from torch import Tensor

PETALS = {"three petals": 3, "five petals": 5, "seven petals": 7}
SIZE = 32  # pixels


class MyProjectData(ImageSource):
    """2,000 flowers to train on and 500 to test; the same ones each time, or a run could not be resumed."""

    def load(self) -> ImageSets:
        # For your own pictures, in pictures/train/CLASS/* and pictures/test/CLASS/*, delete the rest and write
        #     from convblocks import PictureFolder
        #     return PictureFolder(self.root / "pictures", size=(SIZE, SIZE)).load()
        # Anything else works too: uint8 images (N, C, H, W) with 1 or 3 channels, and int64 labels (N,) from 0.
        return ImageSets.of(draw(2000, seed=0), draw(500, seed=1), classes=list(PETALS))


def draw(count: int, seed: int) -> LabelledImages:
    """Flowers of random colour, size, place and angle on a noisy background."""
    random = torch.Generator().manual_seed(seed)

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=random)

    labels = torch.randint(len(PETALS), (count,), generator=random)  # (N,)
    petals = torch.tensor(list(PETALS.values()))[labels].view(-1, 1, 1)
    axis = torch.linspace(-1, 1, SIZE)
    x, y = axis.view(1, 1, -1) + between(-0.3, 0.3, 1, 1), axis.view(1, -1, 1) + between(-0.3, 0.3, 1, 1)
    distance, angle = torch.hypot(x, y), torch.atan2(y, x) + between(-3.14, 3.14, 1, 1)  # (N, H, W)
    edge = between(0.4, 0.8, 1, 1) * (0.75 + 0.25 * torch.cos(petals * angle))
    images = torch.where((distance < edge)[:, None], between(0.3, 1, 3, 1, 1), between(0, 0.6, 3, SIZE, SIZE))
    return LabelledImages((255 * images).to(torch.uint8), labels)  # (N, 3, H, W)

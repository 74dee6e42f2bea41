"""A user's own data and losses, named on command lines."""

import torch
from torch import Tensor, nn

from convblocks import ImageSets, ImageSource, LabelledImages


class Noise(ImageSource):
    """Random images in colour, wider than high."""

    def load(self) -> ImageSets:
        return ImageSets.of(self.draw(320), self.draw(30), ("lying", "standing", "none"))

    def draw(self, count: int) -> LabelledImages:
        numbers = torch.Generator().manual_seed(count)
        images = torch.randint(256, (count, 3, 12, 20), generator=numbers, dtype=torch.uint8)
        return LabelledImages(images, torch.randint(3, (count,), generator=numbers))


class Squared(nn.Module):
    """Squared differences of the probabilities, for each image."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        wanted = nn.functional.one_hot(targets, logits.shape[1])
        return (logits.softmax(dim=1) - wanted).square().sum(dim=1)


class Focal(nn.CrossEntropyLoss):
    """The cross-entropy of each image, less for those that are answered well: one of
    torch's losses, but without its option ``reduction``.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__(reduction="none")
        self.gamma = gamma

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
        losses: Tensor = super().forward(input, target)
        return losses * (1 - (-losses).exp()) ** self.gamma


class Mean(Squared):
    """Their mean, which a run would divide again."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return super().forward(logits, targets).mean()


class Learned(Squared):
    """With a weight that no optimizer has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(10))

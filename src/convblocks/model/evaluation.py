"""A classifier's logits for labelled images, and what they say of it."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Evaluation:
    """Logits (N, classes) for N labelled images, their targets (N,) int64, and the names of the classes."""

    logits: Tensor
    targets: Tensor
    classes: tuple[str, ...]

    @property
    def losses(self) -> Tensor:
        """The cross-entropy of each image: (N,)."""
        return functional.cross_entropy(self.logits, self.targets, reduction="none")

    @property
    def predicted(self) -> Tensor:
        """The most probable class of each image: (N,)."""
        return self.logits.argmax(dim=1)

    @property
    def loss(self) -> float:
        return float(self.losses.double().mean())

    @property
    def accuracy(self) -> float:
        """In 0..1."""
        return float((self.predicted == self.targets).double().mean())

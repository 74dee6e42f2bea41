"""Modules that leave things to whoever trains them: their optimizer, how they are made,
and what their data know.
"""

from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from tests.any_task.regression import Curve, Pair, Points

HERE = __name__
POINTS = ["--data", f"{Points.__module__}.Points", "--judge", "val/loss:min"]


class Bare(LightningModule):
    """As users of LightningCLI write them: without ``configure_optimizers``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1))

    def training_step(self, batch: Pair, batch_idx: int) -> Tensor:
        loss = nn.functional.mse_loss(self.network(batch[0]), batch[1])
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Pair, batch_idx: int) -> None:
        self.log("val/loss", nn.functional.mse_loss(self.network(batch[0]), batch[1]))


class Tuned(Bare):
    """Has a parameter of its own for a schedule, and none for an optimizer."""

    def __init__(self, lr_scheduler: str = "none") -> None:
        super().__init__(8)
        self.lr_scheduler = lr_scheduler


class Composed(Curve):
    """Is given a part and an optimizer, and may be given a limit: nothing has a default. Its
    network is compiled only to train.
    """

    def __init__(
        self, activation: nn.Module, optimizer: torch.optim.Optimizer, limit: float | None
    ) -> None:
        super().__init__()
        self.network[1], self.make_optimizer, self.limit = activation, optimizer, limit

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self.network = torch.compile(self.network, backend="eager")  # type: ignore[assignment]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer(self.parameters())  # type: ignore[operator, no-any-return]


class Wide(Curve):
    """A curve that must know its width, and something of another type."""

    def __init__(self, width: int, shape: tuple[int, ...], lr: float = 0.01) -> None:
        super().__init__(width, lr)
        self.save_hyperparameters()


class Sectioned(Curve):
    """Builds its optimizer from a dictionary."""

    def __init__(self, width: int, optimizer: dict[str, Any]) -> None:
        super().__init__(width, optimizer["lr"])


class Forwarding(Sectioned):
    """Hands on all arguments, of which one has a section's name."""

    def __init__(self, extra: int = 1, **others: Any) -> None:
        super().__init__(**others)
        self.extra = extra


def curve(width: int = 2, rate: float = 0.01) -> Curve:
    """A curve of twice the width.

    Args:
        width: Half of the hidden units.
        rate: The learning rate.
    """
    return Curve(hidden=2 * width, lr=rate)


def untyped(width=2, sizes=None) -> Curve:  # type: ignore[no-untyped-def]
    return Curve(width)


def points(noise: float = 0.2) -> Points:
    return Points(noise)


def some_module(bare: bool = False) -> LightningModule:
    return Bare(2) if bare else Curve()


def unsaid():  # type: ignore[no-untyped-def]  # what it returns
    return Curve()


class Known(Points):
    """Points that know width and shape as soon as they are made."""

    def __init__(self, width: int = 4, noise: float = 0.1) -> None:
        super().__init__(noise)
        self.width, self.shape = torch.tensor(width), torch.Size([1, width])


class Read(Points):
    """Points that know them when they have been set up, which draws random numbers."""

    width: int | None = None

    def setup(self, stage: str) -> None:
        self.width = 6
        self.shape = (1, len(torch.rand(6)))


class Odd(Points):
    """Points that have something else by one of these names."""

    width = 3
    shape: Any = nn.ReLU()


class Late(Points):
    """Points that cannot be set up without a Trainer."""

    def setup(self, stage: str) -> None:
        self.width = self.trainer.world_size  # type: ignore[union-attr]

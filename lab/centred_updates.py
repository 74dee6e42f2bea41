"""A callback that changes a layer's first updates: is it their shared sign that kills units?

`fit` takes it by a config, such as those in docs/data/cause/.
"""

from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.first_steps import FirstSteps, layers_of

# How many of the first updates are changed.
UPDATES = 10

# The fact of a result: {"mean": ...}, a list of steps of a list with the number of the
# changed layer.
FACT = "updates"

# Less than this part of an update's length is rounding, and no direction.
NEGLIGIBLE = 1e-4

# Between a run's seed and that of its random directions, which are not to resemble its
# initial weights.
OTHER_SEED = 1_000_000

Change = Literal["centred", "shrunk", "random"]


class CentredUpdates(FirstSteps):
    """Changes what the optimizer's first updates do to the weights of a layer.

    Its biases are left as they are. A layer's update is a matrix (units, inputs of a
    unit). ``mean`` is the share of a unit's squared length that its mean has, before
    the change, averaged over the units that the update changes.

    Args:
        layer: The layer's place among convolutions and linear layers, from 1: the blocks,
            then the head.
        change: ``centred`` subtracts each unit's mean and restores its length; ``shrunk``
            keeps the direction, with the length that subtracting the mean would leave;
            ``random`` removes, instead of the mean, a direction that is drawn at random
            for each unit and stays the same, and restores the length.
    """

    fact = FACT
    measures = ("mean",)

    def __init__(self, layer: int, change: Change) -> None:
        super().__init__()
        self.layer, self.change = layer, change
        self.directions = torch.empty(0)
        self.before: Tensor | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights = self._weights(pl_module)
        generator = torch.Generator().manual_seed(torch.initial_seed() + OTHER_SEED)
        self.directions = directions_like(weights.flatten(1), generator)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if trainer.global_step < UPDATES:
            self.before = self._weights(pl_module).clone()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.before is None:
            return
        weights = self._weights(pl_module)
        update = (weights - self.before).flatten(1)
        self.rows.append([(share_of_mean(update),)])
        weights.copy_(self.before + self._changed(update).view_as(weights))
        self.before = None

    def _changed(self, update: Tensor) -> Tensor:
        match self.change:
            case "centred":
                return with_length_of(update, centred(update))
            case "shrunk":
                return with_length_of(centred(update), update)
            case "random":
                return with_length_of(update, without(update, self.directions))

    def _weights(self, module: LightningModule) -> Tensor:
        layers = layers_of(module, nn.Conv2d, nn.Linear)
        weights: Tensor = layers[self.layer - 1].weight
        return weights.detach()


def centred(update: Tensor) -> Tensor:
    """Each unit's update without its mean: (units, inputs)."""
    return update - update.mean(dim=1, keepdim=True)


def without(update: Tensor, directions: Tensor) -> Tensor:
    """Each unit's update without its part in a direction of length 1: (units, inputs)."""
    return update - (update * directions).sum(dim=1, keepdim=True) * directions


def with_length_of(lengths: Tensor, update: Tensor) -> Tensor:
    """Each unit's update, as long as another: (units, inputs).

    0 where it is rounding, compared to the other.
    """
    wanted, own = (each.norm(dim=1, keepdim=True) for each in (lengths, update))
    return torch.where(own > NEGLIGIBLE * wanted, update * (wanted / own), 0)


def directions_like(update: Tensor, generator: torch.Generator) -> Tensor:
    """A direction of length 1 for each unit, each as likely: (units, inputs)."""
    drawn = torch.randn(update.shape, generator=generator)
    directions: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
    return directions.to(update)


def share_of_mean(update: Tensor) -> float:
    """The share of a unit's squared length that its mean has: (units, inputs) to a number.

    Averaged over the units that change; nan if none does.
    """
    squared = update.square().sum(dim=1)
    shares = update.shape[1] * update.mean(dim=1).square() / squared
    return float(shares[squared > 0].mean())

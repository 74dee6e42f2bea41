"""A callback that changes a layer's first updates: is it their shared sign that kills units?

`fit` takes it by a config, such as those in docs/data/cause/ and docs/data/direction/.
"""

import math
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.func import functional_call
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

Change = Literal["centred", "shrunk", "random", "matched", "replaced", "alone", "upward"]


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
            for each unit and stays the same, and restores the length. ``matched`` keeps
            the direction, with the length that changes the unit's pre-activations as much
            as ``centred`` does, for the images of the first training batch; ``replaced``
            moves the unit along a random direction without a mean by as much as its mean
            moves it, instead of that; ``alone`` leaves the mean alone, with the length of
            the whole; ``upward`` makes a negative mean positive.
    """

    fact = FACT
    measures = ("mean",)

    def __init__(self, layer: int, change: Change) -> None:
        super().__init__()
        self.layer, self.change = layer, change
        self.directions = torch.empty(0)
        self.before: Tensor | None = None
        self.images: Tensor | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights = self._layer(pl_module).weight.detach()
        generator = torch.Generator().manual_seed(torch.initial_seed() + OTHER_SEED)
        self.directions = directions_like(weights.flatten(1), generator)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.change == "matched" and self.images is None:
            self.images = batch[0].clone()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if trainer.global_step < UPDATES:
            self.before = self._layer(pl_module).weight.detach().clone()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.before is None:
            return
        weights = self._layer(pl_module).weight.detach()
        update = (weights - self.before).flatten(1)
        self.rows.append([(share_of_mean(update),)])
        weights.copy_(self.before + self._changed(update, pl_module).view_as(weights))
        self.before = None

    def _changed(self, update: Tensor, module: LightningModule) -> Tensor:
        match self.change:
            case "centred":
                return with_length_of(update, centred(update))
            case "shrunk":
                return with_length_of(centred(update), update)
            case "random":
                return with_length_of(update, without(update, self.directions))
            case "matched":
                return self._matched(update, module)
            case "replaced":
                return with_mean_along(update, self.directions)
            case "alone":
                return with_length_of(update, mean_of(update))
            case "upward":
                return centred(update) + mean_of(update).abs()

    def _matched(self, update: Tensor, module: Any) -> Tensor:
        layer, network = self._layer(module), module.network
        network.eval()  # so that other callbacks take no notice
        inputs = inputs_of(layer, network, self.images)
        wanted = with_length_of(update, centred(update))
        found = scaled_to(reach(layer, inputs, wanted), reach(layer, inputs, update), update)
        network.train()
        return found

    def _layer(self, module: LightningModule) -> Any:
        return layers_of(module, nn.Conv2d, nn.Linear)[self.layer - 1]


def mean_of(update: Tensor) -> Tensor:
    """The part of each unit's update that all its weights share: (units, inputs)."""
    return update.mean(dim=1, keepdim=True).expand_as(update)


def centred(update: Tensor) -> Tensor:
    """Each unit's update without its mean: (units, inputs)."""
    return update - mean_of(update)


def without(update: Tensor, directions: Tensor) -> Tensor:
    """Each unit's update without its part in a direction of length 1: (units, inputs)."""
    return update - (update * directions).sum(dim=1, keepdim=True) * directions


def with_mean_along(update: Tensor, directions: Tensor) -> Tensor:
    """Each unit's update, its mean replaced by as long a part of a direction: (units, inputs).

    The directions lose their own mean, so that nothing of the update's is left.
    """
    others = nn.functional.normalize(centred(directions), dim=1)
    signed_lengths = update.sum(dim=1, keepdim=True) / math.sqrt(update.shape[1])
    return centred(update) + signed_lengths * others


def with_length_of(lengths: Tensor, update: Tensor) -> Tensor:
    """Each unit's update, as long as another: (units, inputs).

    0 where it is rounding, compared to the other.
    """
    wanted, own = (each.norm(dim=1, keepdim=True) for each in (lengths, update))
    return scaled_to(wanted, own, update)


def scaled_to(wanted: Tensor, own: Tensor, update: Tensor) -> Tensor:
    """Each unit's update times wanted / own, both (units, 1); 0 where its own is rounding."""
    return torch.where(own > NEGLIGIBLE * wanted, update * (wanted / own), 0)


@torch.no_grad()
def inputs_of(layer: nn.Module, network: nn.Module, images: Tensor | None) -> Tensor:
    """What a layer of the network gets for images."""
    caught: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    network(images)
    hook.remove()
    (inputs,) = caught
    return inputs


@torch.no_grad()
def reach(layer: nn.Module, inputs: Tensor, update: Tensor) -> Tensor:
    """How much an update of its weights, (units, inputs), changes a layer's pre-activations.

    The root mean square over the batch and all positions: (units, 1).
    """
    parameters = dict(layer.named_parameters())
    weights = {
        "weight": update.view_as(parameters["weight"]),
        "bias": torch.zeros_like(parameters["bias"]),
    }
    outputs: Tensor = functional_call(layer, weights, (inputs,))
    return outputs.transpose(0, 1).flatten(1).square().mean(dim=1, keepdim=True).sqrt()


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

"""A callback that counts the signs of gradients in the first steps: do those of a
unit's weights agree?

`fit` takes it by name: `--trainer.callbacks lab.gradients.GradientSigns`.
"""

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer

from lab.first_steps import FirstSteps, layers_of

STEPS = 5

# The fact of a result: {"agreeing": ..., "falling": ...}, each a list of steps of a
# number for each convolution.
FACT = "gradient_signs"
MEASURES = ("agreeing", "falling")


class GradientSigns(FirstSteps):
    """Looks at the gradients of each convolution's weights in the first steps, before
    they are applied.

    ``agreeing`` is the share of a unit's gradients that have their more frequent sign,
    averaged over the units that have any; ``falling`` is the share of these units most
    of whose gradients are positive, so that the weights fall.
    """

    fact = FACT
    measures = MEASURES

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if trainer.global_step < STEPS:
            self.rows.append([*map(signs_of, layers_of(pl_module, nn.Conv2d))])


def signs_of(convolution: nn.Conv2d) -> tuple[float, float]:
    """Both measures of a convolution; nan if no unit has a gradient."""
    gradients = convolution.weight.grad
    assert gradients is not None
    positive, negative = (
        (sign > 0).flatten(1).sum(dim=1).float() for sign in (gradients, -gradients)
    )
    living = positive + negative > 0
    positive, negative = positive[living], negative[living]
    agreeing = torch.maximum(positive, negative) / (positive + negative)
    return float(agreeing.mean()), float((positive > negative).float().mean())

"""A callback that counts the signs of gradients in the first steps: do those of a unit's weights agree?

`fit` takes it by name: `--trainer.callbacks lab.gradients.GradientSigns`.
"""

from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer

from convblocks.run.callbacks import RunCallback
from convblocks.run.result import RunResult
from convblocks.run.run import Run

STEPS = 5

# The fact of a result: {"agreeing": ..., "falling": ...}, each a list of steps of a number for each convolution.
FACT = "gradient_signs"
MEASURES = ("agreeing", "falling")


class GradientSigns(RunCallback):
    """Looks at the gradients of each convolution's weights in the first steps, before they are applied.

    ``agreeing`` is the share of a unit's gradients that have their more frequent sign, averaged over the units that
    have any; ``falling`` is the share of these units most of whose gradients are positive, so that the weights fall.
    """

    def __init__(self) -> None:
        self.rows: list[list[tuple[float, float]]] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if trainer.global_step >= STEPS:
            return
        network = pl_module.network
        assert isinstance(network, nn.Module)
        self.rows.append([signs_of(layer) for layer in network.modules() if isinstance(layer, nn.Conv2d)])

    def on_result(self, run: Run, result: RunResult) -> RunResult:
        """The result with a fact for each measure."""
        found = {
            measure: [[float(f"{block[place]:.3g}") for block in step] for step in self.rows]
            for place, measure in enumerate(MEASURES)
        }
        return replace(result, facts=result.facts | {FACT: found})

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]


def signs_of(convolution: nn.Conv2d) -> tuple[float, float]:
    """Both measures of a convolution; nan if no unit has a gradient."""
    gradients = convolution.weight.grad
    assert gradients is not None
    positive, negative = ((sign > 0).flatten(1).sum(dim=1).float() for sign in (gradients, -gradients))
    living = positive + negative > 0
    positive, negative = positive[living], negative[living]
    agreeing = torch.maximum(positive, negative) / (positive + negative)
    return float(agreeing.mean()), float((positive > negative).float().mean())

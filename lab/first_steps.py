"""The base of callbacks that measure a network's convolutions in the first steps of training."""

from dataclasses import replace
from typing import Any

from lightning.pytorch import LightningModule
from torch import nn

from convblocks.run.callbacks import RunCallback
from convblocks.run.result import RunResult
from convblocks.run.run import Run


class FirstSteps(RunCallback):
    """Keeps a row for each step, of the measures of each convolution, and adds them to the result.

    The fact of this name has, for each measure, a list of steps of a number for each convolution.
    """

    def __init__(self, fact: str, measures: tuple[str, ...]) -> None:
        self.fact, self.measures = fact, measures
        self.rows: list[list[tuple[float, ...]]] = []

    def on_result(self, run: Run, result: RunResult) -> RunResult:
        """The result with a fact for each measure."""
        found = {
            measure: [[float(f"{block[place]:.3g}") for block in step] for step in self.rows]
            for place, measure in enumerate(self.measures)
        }
        return replace(result, facts=result.facts | {self.fact: found})

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]


def convolutions_of(module: LightningModule) -> list[nn.Conv2d]:
    """The convolutions of a module's network, in the order of its layers."""
    network = module.network
    assert isinstance(network, nn.Module)
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]

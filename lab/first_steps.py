"""The base of callbacks that measure a network's layers in the first steps of training."""

from typing import Any

from torch import nn

from convblocks.record.result import RunResult
from convblocks.run.callbacks import RunCallback


class FirstSteps(RunCallback):
    """Keeps a row for each step, of the measures of each layer looked at, and adds them to the
    result.

    The fact of this name has, for each measure, a list of steps of a number for each layer.
    """

    fact: str
    measures: tuple[str, ...]

    def __init__(self) -> None:
        self.rows: list[list[tuple[float, ...]]] = []

    def on_result(self, run: Any, result: RunResult) -> RunResult:
        """The result with a fact for each measure."""
        found = {
            measure: [[float(f"{block[place]:.3g}") for block in step] for step in self.rows]
            for place, measure in enumerate(self.measures)
        }
        return result.with_facts(**{self.fact: found})

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]


def layers_of(module: Any, *kinds: type[nn.Module]) -> list[Any]:
    """The layers of these kinds in a module's network, in their order."""
    return [layer for layer in module.network.modules() if isinstance(layer, kinds)]

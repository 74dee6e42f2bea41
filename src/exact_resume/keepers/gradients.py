"""The gradients of a module that steps its optimizers itself."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device

from exact_resume.keepers.keeper import Keeper, State
from exact_resume.moment import Moment


class Gradients(Keeper):
    """Keeps gradients that may add up over several steps, where Lightning does not."""

    def state(self, moment: Moment) -> State:
        kept: State = move_data_to_device(self._gradients(), torch.device("cpu"))
        return kept

    def restore(self, state: State, moment: Moment) -> None:
        for name, gradient in state.items():
            parameter = self.trainer.lightning_module.get_parameter(name)
            parameter.grad = gradient.to(parameter.device)

    def parts(self) -> Mapping[str, Any]:
        return {f"gradient {name}": gradient for name, gradient in self._gradients().items()}

    def _gradients(self) -> State:
        module = self.trainer.lightning_module
        if module.automatic_optimization:
            return {}
        return {
            name: weight.grad
            for name, weight in module.named_parameters()
            if weight.grad is not None
        }

"""Adam without needless work at every step.

The module's name begins with an underscore, so that jsonargparse takes ``--model.optimizer Adam`` for torch's own.
"""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Adam(torch.optim.Adam):
    """In the usual case passes its tensors to the fused kernel directly; otherwise leaves the step to torch.

    torch would first check each tensor, and group them by device and dtype. It has the name of the class that it
    replaces, since LearningRateMonitor logs it.
    """

    def _init_group(self, group: dict[str, Any], *to_update: list[Tensor]) -> bool:
        """Fill the lists of tensors for ``step`` to update; none if the update is done here."""
        parameters = group["params"]
        gradients = [parameter.grad for parameter in parameters]
        states = [self.state.get(parameter, {}) for parameter in parameters]
        if not (self._is_usual(group) and all(states) and _are_alike(parameters, gradients)):
            return super()._init_group(group, *to_update)  # type: ignore[no-any-return,no-untyped-call]  # untyped in torch
        steps = [state["step"] for state in states]
        beta1, beta2 = group["betas"]
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            parameters,
            gradients,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=group["maximize"],
        )
        return False

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients to None, without torch's checks for other ways to zero them."""
        if not set_to_none:
            super().zero_grad(set_to_none)
            return
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def _is_usual(self, group: dict[str, Any]) -> bool:
        options = ("amsgrad", "capturable", "differentiable", "decoupled_weight_decay")  # torch 2.6 lacks the last
        is_unusual = any(group.get(option) for option in options)
        # Set by gradient scalers, such as that of 16-mixed, for the kernel.
        is_scaled = any(getattr(self, name, None) is not None for name in ("grad_scale", "found_inf"))
        return bool(group["fused"]) and not is_unusual and not is_scaled and isinstance(group["lr"], float)


def _are_alike(parameters: list[Tensor], gradients: list[Tensor | None]) -> bool:
    """Whether all parameters have dense gradients, and share one dtype and device."""
    kinds = {(parameter.dtype, parameter.device) for parameter in parameters}
    return len(kinds) == 1 and all(gradient is not None and not gradient.is_sparse for gradient in gradients)


def speed_up_optimizer(optimizer: Optimizer) -> None:
    """Turn torch's Adam into the one above; leave other optimizers as they are."""
    if type(optimizer) is torch.optim.Adam:
        optimizer.__class__ = Adam

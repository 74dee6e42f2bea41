"""The fused Adam, without what torch does around it at every step."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Adam(torch.optim.Adam):
    """Hands its tensors to the fused kernel at once, where they are as usual, and leaves all else to torch.

    torch looks at each of them first, and sorts them by device and type. Named as what it replaces, since
    LearningRateMonitor logs it.
    """

    def _init_group(self, group: dict[str, Any], *to_update: list[Tensor]) -> bool:
        """Put into the lists what ``step`` shall update: nothing, where it has been done here."""
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
        """Forget the gradients, without asking how torch would set them to zero."""
        if not set_to_none:
            super().zero_grad(set_to_none)
            return
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def _is_usual(self, group: dict[str, Any]) -> bool:
        options = ("amsgrad", "capturable", "differentiable", "decoupled_weight_decay")  # torch 2.6 has not the last
        is_unusual = any(group.get(option) for option in options)
        # Gradient scalers, as of 16-mixed, leave these two for the kernel.
        is_scaled = any(getattr(self, name, None) is not None for name in ("grad_scale", "found_inf"))
        return bool(group["fused"]) and not is_unusual and not is_scaled and isinstance(group["lr"], float)


def _are_alike(parameters: list[Tensor], gradients: list[Tensor | None]) -> bool:
    """Whether all have gradients, dense ones, and are of one type on one device."""
    kinds = {(parameter.dtype, parameter.device) for parameter in parameters}
    return len(kinds) == 1 and all(gradient is not None and not gradient.is_sparse for gradient in gradients)


def speed_up_optimizer(optimizer: Optimizer) -> None:
    """Make torch's Adam the one above; another optimizer stays as it is."""
    if type(optimizer) is torch.optim.Adam:
        optimizer.__class__ = Adam

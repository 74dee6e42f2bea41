"""A module that validates an average of its weights, for which it swaps the two."""

from typing import Any

import torch
from torch import nn

from tests.any_task.regression import Curve


class Averages(nn.Module):
    """The averages of a network's weights, or the weights while the network has the averages."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.kept = nn.ParameterList(weight.detach().clone() for weight in network.parameters())
        self.requires_grad_(False)
        self.are_averages = True

    @torch.no_grad()
    def swap(self, network: nn.Module) -> None:
        for kept, weight in zip(self.kept, network.parameters(), strict=True):
            kept.data, weight.data = weight.data, kept.data
        self.are_averages = not self.are_averages

    def get_extra_state(self) -> bool:
        return self.are_averages

    def set_extra_state(self, state: bool) -> None:
        assert state, "saved while its weights were swapped"


class Averaged(Curve):
    """The swap is over when the module's own ``on_validation_end`` is."""

    def __init__(self, hidden: int = 16, lr: float = 0.01) -> None:
        super().__init__(hidden, lr)
        self.averages = Averages(self.network)

    def on_train_batch_end(self, *_: Any) -> None:
        for kept, weight in zip(self.averages.kept, self.network.parameters(), strict=True):
            kept.data.lerp_(weight.data, 0.1)

    def on_validation_start(self) -> None:
        self.averages.swap(self.network)

    on_validation_end = on_test_start = on_test_end = on_validation_start

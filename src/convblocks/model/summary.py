"""Print the layers, output shapes and parameters of the networks.

usage: convblocks summary
"""

from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torchinfo import summary
from torchinfo.enums import Units

from convblocks.command_line import Parser
from convblocks.data.images import MNIST
from convblocks.model.networks import ARCHITECTURES


def main(arguments: list[str]) -> None:
    """Print the summary of every registered network for one batch of 64 images."""
    Parser().parse_args(arguments)  # there are no options
    for arch, network in ARCHITECTURES.items():
        print(f"\n{arch}\n{describe(network(), torch.zeros(64, *MNIST.shape))}")


def describe(network: nn.Module, example: Any = None) -> str:
    """Torchinfo's table of a network's layers and parameters, within 80 columns.

    With an example of its input, it has output shapes too.
    """
    # The fourth of nested modules are the layers in the blocks of a classifier's network; they have 40 columns.
    table = str(summary(network, input_data=example, depth=4, col_width=20, verbose=0))
    for unit in Units:
        table = table.replace(f"({unit})", f"({unit.value})")  # torchinfo 1.8 prints the name of its enum member
    return table


def parameters_of(network: nn.Module) -> int:
    """The number of parameters, trainable or frozen; 0 before the shapes of lazy ones are known."""
    parameters = list(network.parameters())
    return 0 if any(map(is_lazy, parameters)) else sum(parameter.numel() for parameter in parameters)

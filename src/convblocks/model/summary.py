"""What the networks consist of."""

from torch import nn
from torchinfo import summary

from convblocks.data.description import MNIST, Description
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES


def main(arguments: list[str]) -> None:
    """Print the summary of every registered network for one batch of 64 images.

    Raises:
        UsageError: there are no options to give.
    """
    if arguments:
        raise UsageError(f"unrecognized arguments: {' '.join(arguments)}")
    for arch, network in ARCHITECTURES.items():
        print(f"\n{arch}\n{describe(network(), batch_size=64)}")


def describe(network: nn.Module, batch_size: int, description: Description = MNIST) -> str:
    """Torchinfo's table of a network's layers, output shapes and parameters."""
    return str(summary(network, input_size=(batch_size, *description.shape), verbose=0))

"""The three architectures, as plain ``nn.Module``s: (B, 1, 28, 28) float images in, (B, 10) logits out."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from convblocks.errors import UsageError
from convblocks.model import names


class MultiLayerPerceptron(nn.Module):
    """Linear 784->100, ReLU, Linear 100->10: 79,510 parameters.

    Input (B, 1, 28, 28) or (B, 28, 28), output logits (B, 10).
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),  # (B, 784)
            nn.Linear(28 * 28, 100),
            nn.ReLU(),
            nn.Linear(100, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits


def conv_maxpool_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Conv 3x3 'same' -> ReLU -> MaxPool 2x2: halves height and width, rounding down."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=2, stride=2),
    )


class ConvMaxPoolNetwork(nn.Module):
    """Three Conv-ReLU-MaxPool blocks and a linear layer: 85,526 parameters.

    Input (B, 1, 28, 28), output logits (B, 10).
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            conv_maxpool_block(1, 32),  # (B, 32, 14, 14)
            conv_maxpool_block(32, 64),  # (B, 64, 7, 7)
            conv_maxpool_block(64, 100),  # (B, 100, 3, 3)
        )
        self.head = nn.Sequential(
            nn.Flatten(),  # (B, 900)
            nn.Linear(900, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))
        return logits


def conv_batchnorm_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Conv 3x3 with stride 2 and padding 1 -> ReLU -> BatchNorm: halves height and width, rounding up."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(out_channels),
    )


class ConvBatchNormNetwork(nn.Module):
    """Three Conv-ReLU-BatchNorm blocks, global average pooling and a linear layer: 77,918 parameters.

    Input (B, 1, 28, 28), output logits (B, 10). Two places where the course's text is not followed:

    - It gives block 3 the shape (B, 100, 3, 3), but stride 2 and padding 1 make 4x4 of 7x7 (3x3 would need padding
      0). The layers are followed; global average pooling makes the rest the same.
    - It removes the pooled dimensions with ``torch.squeeze(x)``, which also removes the batch dimension when B = 1.
      Flattening from dimension 1 does not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            conv_batchnorm_block(1, 32),  # (B, 32, 14, 14)
            conv_batchnorm_block(32, 64),  # (B, 64, 7, 7)
            conv_batchnorm_block(64, 100),  # (B, 100, 4, 4)
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),  # (B, 100, 1, 1)
            nn.Flatten(),  # (B, 100)
            nn.Linear(100, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))
        return logits


ARCHITECTURES: dict[str, type[nn.Module]] = {
    "mlp": MultiLayerPerceptron,
    "maxpool": ConvMaxPoolNetwork,
    "batchnorm": ConvBatchNormNetwork,
}


def build_network(arch: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """A fresh network, registered or what a dotted name such as ``mynets.Rows`` stands for, in channels_last.

    That is the memory order in which convolutions are fastest; it changes results only by rounding.

    Raises:
        UsageError: there is no such network, it does not take these arguments, or other images or logits.
    """
    is_registered = arch in ARCHITECTURES and not arguments
    network = ARCHITECTURES[arch]() if is_registered else _network_of_class(arch, arguments or {})
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # not in torch's types


def _network_of_class(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    if name in ARCHITECTURES:
        raise UsageError(f"the network {name} takes no arguments, but was given {', '.join(arguments)}")
    if "." not in name:
        known = ", ".join(ARCHITECTURES)
        raise UsageError(f"unknown architecture {name!r}: choose one of {known}, or a class such as module.Network")
    network: nn.Module = names.call(nn.Module, name, **arguments)
    _check_shapes(name, network)
    return network


@torch.no_grad()
def _check_shapes(arch: str, network: nn.Module) -> None:
    """Refuse what is no network from (B, 1, 28, 28) to (B, 10)."""
    if not isinstance(network, nn.Module):
        raise UsageError(f"{arch} makes a {type(network).__name__}, not an nn.Module")
    modes = [(module, module.training) for module in network.modules()]
    try:
        logits = network.eval()(torch.zeros(2, 1, 28, 28))
    except (RuntimeError, TypeError, ValueError, AssertionError, IndexError) as error:
        raise UsageError(f"{arch} does not take images (B, 1, 28, 28): {' '.join(str(error).split())}") from error
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (2, 10):
        raise UsageError(f"{arch} makes {shape} of images (2, 1, 28, 28), not logits (2, 10)")
    for module, training in modes:
        module.training = training

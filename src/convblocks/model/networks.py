"""The registered networks, as plain ``nn.Module``s: (B, C, H, W) float images in, (B,
classes) logits out.

Shapes in comments are those on MNIST. For other data sets the networks take an image
spec.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSpec
from convblocks.errors import UsageError, one_line
from convblocks.model.class_specs import Named, short_name
from convblocks.model.names import RECORDS, NetworkRecord, refuse_unknown
from convblocks.model.trust import accepts, instantiate


class MultiLayerPerceptron(nn.Module):
    """Linear 784->100, ReLU, Linear 100->10: 79,510 parameters on MNIST.

    Input (B, 1, 28, 28) or (B, 28, 28), output logits (B, 10).
    """

    def __init__(self, image_spec: ImageSpec = MNIST) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),  # (B, 784)
            nn.Linear(math.prod(image_spec.shape), 100),  # 784 -> 100
            nn.ReLU(),
            nn.Linear(100, len(image_spec.classes)),  # 100 -> 10
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
    """Three Conv-ReLU-MaxPool blocks and a linear layer: 85,526 parameters on MNIST.

    Input (B, 1, 28, 28), output logits (B, 10).

    Raises:
        UsageError: the images are smaller than 8 x 8, too small for three poolings.
    """

    def __init__(self, image_spec: ImageSpec = MNIST) -> None:
        super().__init__()
        channels, height, width = image_spec.shape
        if min(height, width) < 8:
            raise UsageError(
                f"images of {height} x {width} are too small for three poolings: 8 x 8 are needed"
            )
        self.blocks = nn.Sequential(
            conv_maxpool_block(channels, 32),  # (B, 32, 14, 14)
            conv_maxpool_block(32, 64),  # (B, 64, 7, 7)
            conv_maxpool_block(64, 100),  # (B, 100, 3, 3)
        )
        self.head = nn.Sequential(
            nn.Flatten(),  # (B, 900)
            nn.Linear(100 * (height // 8) * (width // 8), len(image_spec.classes)),  # 900 -> 10
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))
        return logits


def conv_batchnorm_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Conv 3x3 with stride 2 and padding 1 -> ReLU -> BatchNorm: halves height and
    width, rounding up.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(out_channels),
    )


class ConvBatchNormNetwork(nn.Module):
    """Three Conv-ReLU-BatchNorm blocks, global average pooling and a linear layer:
    77,918 parameters on MNIST.

    Input (B, 1, 28, 28), output logits (B, 10). It differs from the course's text in
    two places:

    - The text gives the output of block 3 as (B, 100, 3, 3), but stride 2 and padding 1
      turn 7x7 into 4x4 (3x3 would need padding 0). The layers are as in the text;
      global average pooling makes the rest the same.
    - The text removes the pooled dimensions with ``torch.squeeze(x)``, which also
      removes the batch dimension if B = 1. ``Flatten`` does not.
    """

    def __init__(self, image_spec: ImageSpec = MNIST) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            conv_batchnorm_block(image_spec.channels, 32),  # (B, 32, 14, 14)
            conv_batchnorm_block(32, 64),  # (B, 64, 7, 7)
            conv_batchnorm_block(64, 100),  # (B, 100, 4, 4)
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),  # (B, 100, 1, 1)
            nn.Flatten(),  # (B, 100)
            nn.Linear(100, len(image_spec.classes)),  # 100 -> 10
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))
        return logits


def _class_of(record: NetworkRecord) -> type[nn.Module]:
    network: type[nn.Module] = getattr(import_module(record.module), record.class_name)
    return network


# The classes of the networks, by name. Each takes an image spec, which is MNIST's by default.
ARCHITECTURES = {name: _class_of(record) for name, record in RECORDS.items()}


def build_network(
    arch: Named, arguments: Mapping[str, Any] | None = None, image_spec: ImageSpec = MNIST
) -> nn.Module:
    """A network, registered or your own, in channels_last.

    In this memory format convolutions are fastest; results differ only by rounding. A
    class or function with a parameter ``image_spec``, as the registered networks have,
    gets the image spec.

    Args:
        arch: The name of a registered network or of your own class, such as
            ``mynets.Rows``; or the class itself, or a function that returns a network.
        arguments: Further arguments of the class or function.
        image_spec: The images that it must take.

    Raises:
        UsageError: there is no such network, or it does not take these arguments or
            images, or its logits have another shape.
    """
    name = short_name(arch)
    refuse_unknown(name, ARCHITECTURES)
    named = ARCHITECTURES.get(name, arch)
    spec = {"image_spec": image_spec} if accepts(named, "image_spec") else {}
    given = spec | dict(arguments or {})
    network: nn.Module = instantiate(nn.Module, named, **given)
    if hasattr(network, "training_step"):
        raise UsageError(
            f"{name} is a LightningModule, whose own steps would be ignored: give it as --model"
        )
    _check_shapes(name, network, image_spec)
    # The types of torch before 2.15 lack it.
    return network.to(  # type: ignore[call-overload,no-any-return,unused-ignore]
        memory_format=torch.channels_last
    )


@torch.no_grad()
def _check_shapes(arch: str, network: nn.Module, image_spec: ImageSpec) -> None:
    """Raise a UsageError unless the network maps (B, C, H, W) to (B, classes)."""
    images = torch.zeros(2, *image_spec.shape)
    try:
        with evaluating(network):
            logits = network(images)
    except (RuntimeError, TypeError, ValueError, AssertionError, IndexError) as error:
        raise UsageError(
            f"{arch} does not take images (B, {', '.join(map(str, image_spec.shape))}): "
            f"{one_line(error)}"
        ) from error
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    expected = (2, len(image_spec.classes))
    if shape != expected:
        raise UsageError(
            f"{arch} returns {shape} for images {tuple(images.shape)}, not logits {expected}"
        )


def parameters_of(network: nn.Module) -> int:
    """The number of parameters, trainable or frozen; 0 before the shapes of lazy ones are known."""
    if any(map(nn.parameter.is_lazy, network.parameters())):
        return 0
    return sum(parameter.numel() for parameter in network.parameters())


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and restore the mode of each module afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

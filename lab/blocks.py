"""The course's convolutional networks with every operation exchangeable.

The course's networks differ from each other in three operations: how a block halves the
image, whether it normalises, and what the head does with the last block's images.
``BlockNetwork`` combines these freely, so that a comparison can tell which of them
matters.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSpec
from convblocks.errors import UsageError
from convblocks.model.networks import conv_batchnorm_block, conv_maxpool_block

Downsampling = Literal["maxpool", "stride", "average", "subsample"]
Normalisation = Literal["none", "batch", "centre"]
Head = Literal["flatten", "average"]
Activation = Literal["relu", "leaky_relu"]
Initialisation = Literal["symmetric", "asymmetric"]

# The output channels of the blocks, as in the course's networks.
CHANNELS = (32, 64, 100)


class Subsampling2d(nn.Module):
    """Keeps every second pixel of every second row: images (B, C, H, W) to half the
    height and width, rounded down.
    """

    def forward(self, images: Tensor) -> Tensor:
        return images[..., 1::2, 1::2]


# What follows a convolution at full resolution.
HALVINGS: dict[str, Callable[[], nn.Module]] = {
    "maxpool": partial(nn.MaxPool2d, 2),
    "average": partial(nn.AvgPool2d, 2),
    "subsample": Subsampling2d,
}


class Centring2d(nn.Module):
    """Subtracts each channel's mean and adds a learned bias: batch normalisation
    without the division.

    Images (B, C, H, W) to the same shape. In training the mean is the batch's; in
    evaluation it is the running mean, kept as ``nn.BatchNorm2d`` keeps it.
    """

    running_mean: Tensor

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))

    def forward(self, images: Tensor) -> Tensor:
        mean = self.running_mean
        if self.training:
            mean = images.mean(dim=(0, 2, 3))
            found = mean.detach().to(self.running_mean.dtype)  # of bfloat16, perhaps
            self.running_mean.lerp_(found, self.momentum)
        return images + (self.bias - mean)[:, None, None]


class BlockNetwork(nn.Module):
    """Blocks of Conv, activation, downsampling and normalisation, three by default, and
    a linear layer.

    Input (B, C, H, W), output logits (B, classes). The course's MaxPool network is
    ``maxpool, none, flatten``, its BatchNorm network ``stride, batch, average``, weight
    for weight.

    Args:
        downsampling: ``maxpool``, ``average`` or ``subsample``: a "same" convolution at
            full resolution, and the largest value of each 2x2, their mean, or one of
            them, which rounds sizes down; ``stride``: a convolution with stride 2 and
            padding 1, which rounds them up.
        normalisation: Of a block's output: ``none``, ``batch``, or ``centre``, which
            only subtracts the mean.
        head: Before the linear layer: ``flatten`` all positions, or ``average`` over
            them.
        activation: ``relu`` or ``leaky_relu``, which passes 1 % of negative values.
        initial_scale: A factor on the initial weights and biases of the convolutions.
        image_spec: The images that it must take.
        channels: The output channels of each block; the course's are the default.
        crop: The number of pixels at each edge that it does not see.
        initialisation: Of the convolutions: ``symmetric``, torch's, or ``asymmetric``,
            which starts each channel with one positive weight or bias, so that fewer
            are dead (see ``start_asymmetric``).
        learns_biases: Whether the convolutions' biases learn.

    Raises:
        UsageError: an unknown choice, or images that are too small: for three blocks,
            smaller than 8 x 8.
    """

    def __init__(
        self,
        downsampling: Downsampling = "maxpool",
        normalisation: Normalisation = "none",
        head: Head = "flatten",
        activation: Activation = "relu",
        initial_scale: float = 1.0,
        image_spec: ImageSpec = MNIST,
        *,
        channels: Sequence[int] = CHANNELS,
        crop: int = 0,
        initialisation: Initialisation = "symmetric",
        learns_biases: bool = True,
    ) -> None:
        super().__init__()
        _check_known(downsampling, Downsampling)
        _check_known(normalisation, Normalisation)
        _check_known(head, Head)
        _check_known(activation, Activation)
        _check_known(initialisation, Initialisation)
        self.crop = crop
        height, width = image_spec.height - 2 * crop, image_spec.width - 2 * crop
        shrunk = 2 ** len(channels)  # by so much the blocks shrink images
        if min(height, width) < shrunk:
            raise UsageError(
                f"images of {height} x {width} are too small: {shrunk} x {shrunk} are needed"
            )
        is_pooling = downsampling != "stride"
        self.blocks = nn.Sequential()
        for inputs, outputs in pairwise([image_spec.channels, *channels]):
            if is_pooling:
                block = conv_maxpool_block(inputs, outputs)
                block[2] = HALVINGS[downsampling]()
            else:
                block = conv_batchnorm_block(inputs, outputs)
                del block[2]  # the course's batch norm
            if activation == "leaky_relu":
                block[1] = nn.LeakyReLU(0.01)
            if normalisation == "batch":
                block.append(nn.BatchNorm2d(outputs))
            elif normalisation == "centre":
                block.append(Centring2d(outputs))
            convolution: Any = block[0]
            if initialisation == "asymmetric":
                start_asymmetric(convolution)
            for parameter in convolution.parameters():
                parameter.data.mul_(initial_scale)
            convolution.bias.requires_grad_(learns_biases)
            self.blocks.append(block)
        as_whole = math.floor if is_pooling else math.ceil
        positions = as_whole(height / shrunk) * as_whole(width / shrunk)
        self.head = nn.Sequential(nn.Flatten())
        if head == "average":
            positions = 1
            self.head.insert(0, nn.AdaptiveAvgPool2d(1))
        self.head.append(nn.Linear(channels[-1] * positions, len(image_spec.classes)))

    def forward(self, images: Tensor) -> Tensor:
        inside = slice(self.crop, -self.crop or None)
        logits: Tensor = self.head(self.blocks(images[..., inside, inside]))
        return logits


def _check_known(choice: str, known: Any) -> None:
    if choice not in get_args(known):
        raise UsageError(f"{choice!r} is none of {', '.join(get_args(known))}")


def start_asymmetric(convolution: nn.Conv2d) -> None:
    """Draw a convolution's initial weights and biases so that fewer channels start
    dead, in place.

    The randomized asymmetric initialization of L. Lu, Y. Shin, Y. Su and G. E.
    Karniadakis, "Dying ReLU and initialization: theory and numerical examples",
    Communications in Computational Physics 28 (2020): the weights and the bias of a
    channel are normal with standard deviation 0.6007 / sqrt(fan-in), but for one of
    them, drawn at random, which has the density 2 x between 0 and 1.
    """
    assert convolution.bias is not None
    channels, fan_in = convolution.weight.shape[0], convolution.weight[0].numel()
    values = torch.randn(channels, fan_in + 1) * 0.6007 / math.sqrt(fan_in)
    positive = torch.rand(channels).sqrt()
    places = torch.randint(fan_in + 1, (channels,))
    values[torch.arange(channels), places] = positive
    convolution.weight.data.copy_(values[:, :-1].view_as(convolution.weight))
    convolution.bias.data.copy_(values[:, -1])

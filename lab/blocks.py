"""The course's convolutional networks with every operation exchangeable.

The course's networks differ from each other in three operations: how a block halves the image, whether it normalises,
and what the head does with the last block's images. ``BlockNetwork`` combines these freely, so that a comparison can
tell which of them matters.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSpec
from convblocks.errors import UsageError
from convblocks.model.networks import conv_batchnorm_block, conv_maxpool_block

Downsampling = Literal["maxpool", "stride"]
Normalisation = Literal["none", "batch", "centre"]
Head = Literal["flatten", "average"]
Activation = Literal["relu", "leaky_relu"]

# The output channels of the blocks, as in the course's networks.
CHANNELS = (32, 64, 100)


class Centring2d(nn.Module):
    """Subtracts each channel's mean and adds a learned bias: batch normalisation without the division.

    Images (B, C, H, W) to the same shape. In training the mean is the batch's; in evaluation it is the running mean,
    kept as ``nn.BatchNorm2d`` keeps it.
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
            self.running_mean.lerp_(mean.detach().to(self.running_mean.dtype), self.momentum)  # of bfloat16, perhaps
        return images + (self.bias - mean)[:, None, None]


class BlockNetwork(nn.Module):
    """Blocks of Conv, activation, downsampling and normalisation, three by default, and a linear layer.

    Input (B, C, H, W), output logits (B, classes). The course's MaxPool network is ``maxpool, none, flatten``, its
    BatchNorm network ``stride, batch, average``, weight for weight.

    Args:
        downsampling: ``maxpool``: a "same" convolution and MaxPool 2x2, which rounds sizes down; ``stride``: a
            convolution with stride 2 and padding 1, which rounds them up.
        normalisation: Of a block's output: ``none``, ``batch``, or ``centre``, which only subtracts the mean.
        head: Before the linear layer: ``flatten`` all positions, or ``average`` over them.
        activation: ``relu`` or ``leaky_relu``, which passes 1 % of negative values.
        initial_scale: A factor on the initial weights and biases of the convolutions.
        image_spec: The images that it must take.
        channels: The output channels of each block; the course's are the default.
        crop: The number of pixels at each edge that it does not see.

    Raises:
        UsageError: an unknown choice, or images that are too small: for three blocks, smaller than 8 x 8.
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
    ) -> None:
        super().__init__()
        choices = (downsampling, Downsampling), (normalisation, Normalisation), (head, Head), (activation, Activation)
        for choice, known in choices:
            if choice not in get_args(known):
                raise UsageError(f"{choice!r} is none of {', '.join(get_args(known))}")
        self.crop = crop
        height, width = image_spec.height - 2 * crop, image_spec.width - 2 * crop
        shrunk = 2 ** len(channels)  # by so much the blocks shrink images
        if min(height, width) < shrunk:
            raise UsageError(f"images of {height} x {width} are too small: {shrunk} x {shrunk} are needed")
        is_pooling = downsampling == "maxpool"
        self.blocks = nn.Sequential()
        for inputs, outputs in pairwise([image_spec.channels, *channels]):
            block = conv_maxpool_block(inputs, outputs) if is_pooling else conv_batchnorm_block(inputs, outputs)
            if not is_pooling:
                del block[2]  # the course's batch norm
            if activation == "leaky_relu":
                block[1] = nn.LeakyReLU(0.01)
            if normalisation != "none":
                block.append(nn.BatchNorm2d(outputs) if normalisation == "batch" else Centring2d(outputs))
            for parameter in block[0].parameters():
                parameter.data.mul_(initial_scale)
            self.blocks.append(block)
        as_whole = math.floor if is_pooling else math.ceil
        positions = as_whole(height / shrunk) * as_whole(width / shrunk) if head == "flatten" else 1
        average = [nn.AdaptiveAvgPool2d(1)] if head == "average" else []
        linear = nn.Linear(channels[-1] * positions, len(image_spec.classes))
        self.head = nn.Sequential(*average, nn.Flatten(), linear)

    def forward(self, images: Tensor) -> Tensor:
        inside = slice(self.crop, -self.crop or None)
        logits: Tensor = self.head(self.blocks(images[..., inside, inside]))
        return logits

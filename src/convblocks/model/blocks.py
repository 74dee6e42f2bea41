"""The course's convolutional networks with every operation exchangeable.

The course's networks differ from each other in three operations: how a block halves the image, whether it normalises,
and what the head does with the last block's images. ``BlockNetwork`` combines these freely, so that a comparison can
tell which of them matters.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSpec
from convblocks.errors import UsageError

Downsampling = Literal["maxpool", "stride"]
Normalisation = Literal["none", "batch", "centre"]
Head = Literal["flatten", "average"]
Activation = Literal["relu", "leaky_relu"]

# The output channels of the blocks, as in the course's networks.
CHANNELS = (32, 64, 100)

CHOICES: dict[str, tuple[str, ...]] = {
    "downsampling": get_args(Downsampling),
    "normalisation": get_args(Normalisation),
    "head": get_args(Head),
    "activation": get_args(Activation),
}


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
        given = {"downsampling": downsampling, "normalisation": normalisation, "head": head, "activation": activation}
        for name, choice in given.items():
            if choice not in CHOICES[name]:
                raise UsageError(f"{name} must be one of {', '.join(CHOICES[name])}, but is {choice!r}")
        if crop < 0:
            raise UsageError(f"crop must be at least 0, but is {crop}")
        self.crop = crop
        height, width = (size - 2 * crop for size in (image_spec.height, image_spec.width))
        if min(height, width) < (least := 2 ** len(channels)):
            blocks = f"{len(channels)} blocks: {least} x {least} are needed"
            raise UsageError(f"images of {height} x {width} are too small for {blocks}")
        inputs = (image_spec.channels, *channels[:-1])
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(*_layers(one, other, downsampling, normalisation, activation))
                for one, other in zip(inputs, channels, strict=True)
            )
        )
        for _ in channels:
            height, width = (size // 2 if downsampling == "maxpool" else -(-size // 2) for size in (height, width))
        positions = height * width if head == "flatten" else 1
        average = [nn.AdaptiveAvgPool2d(1)] if head == "average" else []
        linear = nn.Linear(channels[-1] * positions, len(image_spec.classes))
        self.head = nn.Sequential(*average, nn.Flatten(), linear)
        with torch.no_grad():
            for convolution in (layer for layer in self.modules() if isinstance(layer, nn.Conv2d)):
                for parameter in convolution.parameters():
                    parameter.mul_(initial_scale)

    def forward(self, images: Tensor) -> Tensor:
        inside = slice(self.crop, -self.crop or None)
        logits: Tensor = self.head(self.blocks(images[..., inside, inside]))
        return logits


def _layers(
    in_channels: int,
    out_channels: int,
    downsampling: Downsampling,
    normalisation: Normalisation,
    activation: Activation,
) -> Iterator[nn.Module]:
    """The layers of a block: (B, in, H, W) to (B, out, H / 2, W / 2)."""
    if downsampling == "maxpool":
        yield nn.Conv2d(in_channels, out_channels, kernel_size=3, padding="same")
    else:
        yield nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1)
    yield nn.ReLU() if activation == "relu" else nn.LeakyReLU(0.01)
    if downsampling == "maxpool":
        yield nn.MaxPool2d(kernel_size=2, stride=2)
    if normalisation == "batch":
        yield nn.BatchNorm2d(out_channels)
    elif normalisation == "centre":
        yield Centring2d(out_channels)

"""The network: images (B, C, H, W) in, one number for each class out."""

from convblocks import ImageSpec
from torch import Tensor, nn


class MyProjectNetwork(nn.Module):
    """Three blocks of convolution, batch norm, ReLU and pooling, and a linear layer.

    Args:
        image_spec: Shape and classes of the images; convblocks passes it.
        width: Channels of the first block; set it with ``network: {width: 32}`` in config.yaml.
    """

    def __init__(self, image_spec: ImageSpec, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *block(image_spec.channels, width),
            *block(width, 2 * width),
            *block(2 * width, 4 * width),
            nn.AdaptiveMaxPool2d(1),  # images of any size
            nn.Flatten(),
            nn.Linear(4 * width, len(image_spec.classes)),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)  # (B, classes)
        return logits


def block(in_channels: int, out_channels: int) -> list[nn.Module]:
    """Layers that halve height and width."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels), nn.ReLU(), nn.MaxPool2d(2)]

"""The BatchNorm network with batch normalisation that sums in torch's other order of memory; see docs/lab/channels.md.

In channels_last on a CPU torch 2.13 adds up a channel's values one after the other, and rounds as often; with channels
first it adds up partial sums.
"""

from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSpec
from convblocks.model.networks import ConvBatchNormNetwork


class ChannelsFirstBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that brings its input, (B, C, H, W), into the order of channels first."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.contiguous())


class ChannelsFirst(ConvBatchNormNetwork):
    """The same layers, and from the same seed the same weights."""

    def __init__(self, image_spec: ImageSpec = MNIST) -> None:
        super().__init__(image_spec)
        for block in self.blocks:
            assert isinstance(block, nn.Sequential)
            assert isinstance(block[2], nn.BatchNorm2d)
            block[2] = ChannelsFirstBatchNorm2d(block[2].num_features)

"""The BatchNorm network with batch normalisation that sums in torch's other order of memory.

In channels_last on a CPU torch 2.13 adds up a channel's values one after the other, and rounds as often; with channels
first it adds up partial sums: see docs/lab/experiments.md.
"""

from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSpec
from convblocks.model.networks import ConvBatchNormNetwork


class ChannelsFirst(ConvBatchNormNetwork):
    """The same layers, and from the same seed the same weights."""

    def __init__(self, image_spec: ImageSpec = MNIST) -> None:
        super().__init__(image_spec)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.register_forward_pre_hook(_channels_first)


def _channels_first(layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """Images (B, C, H, W) in the order of channels first."""
    return inputs[0].contiguous()

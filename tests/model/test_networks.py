"""The three networks are the ones the course describes, layer by layer."""

import pytest
import torch
from torch import Tensor, nn

from convblocks.model.networks import ARCHITECTURES, ConvBatchNormNetwork, ConvMaxPoolNetwork, MultiLayerPerceptron


def output_shapes(network: nn.Module, layers: tuple[type[nn.Module], ...], images: Tensor) -> list[tuple[int, ...]]:
    """The output shapes of the layers of these types, in the order in which they run."""
    shapes: list[tuple[int, ...]] = []
    for layer in network.modules():
        if isinstance(layer, layers):
            layer.register_forward_hook(lambda _layer, _inputs, output: shapes.append(tuple(output.shape)))
    network(images)
    return shapes


@pytest.mark.parametrize(("arch", "parameters"), [("mlp", 79_510), ("maxpool", 85_526), ("batchnorm", 77_918)])
def test_parameter_count(arch: str, parameters: int) -> None:
    assert sum(parameter.numel() for parameter in ARCHITECTURES[arch]().parameters()) == parameters


def test_mlp_layers() -> None:
    shapes = output_shapes(MultiLayerPerceptron(), (nn.Flatten, nn.Linear, nn.ReLU), torch.zeros(2, 1, 28, 28))
    assert shapes == [(2, 784), (2, 100), (2, 100), (2, 10)]


def test_maxpool_layers() -> None:
    layers = (nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear)
    assert output_shapes(ConvMaxPoolNetwork(), layers, torch.zeros(2, 1, 28, 28)) == [
        *[(2, 32, 28, 28), (2, 32, 28, 28), (2, 32, 14, 14)],
        *[(2, 64, 14, 14), (2, 64, 14, 14), (2, 64, 7, 7)],
        *[(2, 100, 7, 7), (2, 100, 7, 7), (2, 100, 3, 3)],
        *[(2, 900), (2, 10)],
    ]


def test_batchnorm_layers() -> None:
    layers = (nn.Conv2d, nn.ReLU, nn.BatchNorm2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear)
    assert output_shapes(ConvBatchNormNetwork(), layers, torch.zeros(2, 1, 28, 28)) == [
        *[(2, 32, 14, 14)] * 3,
        *[(2, 64, 7, 7)] * 3,
        *[(2, 100, 4, 4)] * 3,
        *[(2, 100, 1, 1), (2, 100), (2, 10)],
    ]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_single_image_keeps_its_batch_dimension(arch: str) -> None:
    assert ARCHITECTURES[arch]().eval()(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


def test_mlp_accepts_images_without_a_channel() -> None:
    network = MultiLayerPerceptron()
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(network(images), network(images.squeeze(1)))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_output_is_logits_not_probabilities(arch: str) -> None:
    logits = ARCHITECTURES[arch]()(torch.rand(8, 1, 28, 28))
    assert not torch.allclose(logits.sum(dim=1), torch.ones(8))

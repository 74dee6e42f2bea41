"""The three networks are the ones the course describes, layer by layer."""

import pytest
import torch
from torch import nn

from convblocks.model.networks import ARCHITECTURES, MultiLayerPerceptron

LAYERS = {
    "mlp": [(784,), (100,), (100,), (10,)],
    "maxpool": [
        *[(32, 28, 28), (32, 28, 28), (32, 14, 14)],
        *[(64, 14, 14), (64, 14, 14), (64, 7, 7)],
        *[(100, 7, 7), (100, 7, 7), (100, 3, 3)],
        *[(900,), (10,)],
    ],
    "batchnorm": [*[(32, 14, 14)] * 3, *[(64, 7, 7)] * 3, *[(100, 4, 4)] * 3, (100, 1, 1), (100,), (10,)],
}


@pytest.mark.parametrize(("arch", "parameters"), [("mlp", 79_510), ("maxpool", 85_526), ("batchnorm", 77_918)])
def test_layers_and_parameters(arch: str, parameters: int) -> None:
    network, shapes = ARCHITECTURES[arch](), []
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    for layer in [layer for layer in network.modules() if not list(layer.children())]:
        layer.register_forward_hook(lambda _layer, _inputs, output: shapes.append(tuple(output.shape[1:])))
    logits = network.eval()(torch.rand(8, 1, 28, 28))
    assert shapes == LAYERS[arch]
    assert not torch.allclose(logits.sum(dim=1), torch.ones(8))  # they are no probabilities
    assert network(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


def test_blocks_are_convolution_relu_and_pooling_or_batch_norm() -> None:
    for arch, last in (("maxpool", nn.MaxPool2d), ("batchnorm", nn.BatchNorm2d)):
        layers = [type(layer) for layer in ARCHITECTURES[arch]().modules() if not list(layer.children())]
        assert layers[:9] == [nn.Conv2d, nn.ReLU, last] * 3


def test_mlp_accepts_images_without_a_channel() -> None:
    network, images = MultiLayerPerceptron(), torch.rand(3, 1, 28, 28)
    assert torch.equal(network(images), network(images.squeeze(1)))

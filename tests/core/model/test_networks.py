"""The three networks are the ones the course describes, layer by layer."""

from pathlib import Path

import pytest
import torch
from torch import nn

from convblocks.model.names import COURSE
from convblocks.model.networks import ARCHITECTURES, parameters_of
from tests.scripts import run_script

SHAPES = {
    "mlp": [(784,), (100,), (100,), (10,)],
    "maxpool": [
        *[(32, 28, 28), (32, 28, 28), (32, 14, 14)],
        *[(64, 14, 14), (64, 14, 14), (64, 7, 7)],
        *[(100, 7, 7), (100, 7, 7), (100, 3, 3)],
        *[(900,), (10,)],
    ],
    "batchnorm": [
        *[(32, 14, 14)] * 3,
        *[(64, 7, 7)] * 3,
        *[(100, 4, 4)] * 3,
        (100, 1, 1),
        (100,),
        (10,),
    ],
}
FIRST = {
    "mlp": [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear],
    "maxpool": [nn.Conv2d, nn.ReLU, nn.MaxPool2d] * 3,
    "batchnorm": [nn.Conv2d, nn.ReLU, nn.BatchNorm2d] * 3,
}


@pytest.mark.parametrize(
    ("arch", "parameters"), [("mlp", 79_510), ("maxpool", 85_526), ("batchnorm", 77_918)]
)
def test_network_has_the_courses_layers_and_parameters(arch: str, parameters: int) -> None:
    network, shapes = ARCHITECTURES[arch](), []
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    layers = [layer for layer in network.modules() if not list(layer.children())]
    assert [type(layer) for layer in layers][:9] == FIRST[arch]
    for layer in layers:
        layer.register_forward_hook(
            lambda _layer, _inputs, output: shapes.append(tuple(output.shape[1:]))
        )
    logits = network.eval()(torch.rand(8, 1, 28, 28))
    assert shapes == SHAPES[arch]
    assert not torch.allclose(logits.sum(dim=1), torch.ones(8))  # they are not probabilities
    assert network(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


def test_summary_has_each_networks_layers_and_parameters(tmp_path: Path) -> None:
    printed = run_script("summary", cwd=tmp_path).stdout
    totals = [line.split()[-1] for line in printed.splitlines() if line.startswith("Total params")]
    assert totals[: len(COURSE)] == ["79,510", "85,526", "77,918"]
    assert totals == [f"{parameters_of(network()):,}" for network in ARCHITECTURES.values()]
    assert max(map(len, printed.splitlines())) <= 80

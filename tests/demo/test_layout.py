"""Which networks the demo's page computes itself, and in which colours they are shown."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convblocks.data.images import MNIST
from convblocks.demo.answers import colours_of, setup
from convblocks.demo.layout import layout_of
from convblocks.model.networks import build_network
from convblocks.model.restore import TrainedNetwork


def with_head(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(10))


class Shortcut(nn.Module):
    """Adds its image to what its convolution makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.head = nn.Linear(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head((images + self.conv(images)).flatten(1))
        return logits


@pytest.mark.parametrize(
    ("arch", "kinds"),
    [
        ("maxpool", [*["conv", "ReLU", "pool"] * 3, "flatten", "linear"]),
        ("batchnorm", [*["conv", "ReLU", "norm"] * 3, "mean", "flatten", "linear"]),
    ],
)
def test_layout_has_the_layers_of_a_network_and_names_its_weights(
    arch: str, kinds: list[str]
) -> None:
    network = build_network(arch)
    layers = layout_of(network, MNIST)
    assert layers is not None
    assert [layer["kind"] for layer in layers] == kinds
    named = {layer["name"] for layer in layers}
    assert {name.rpartition(".")[0] for name in network.state_dict()} <= named


@pytest.mark.parametrize(
    "network",
    [
        build_network("mlp"),
        Shortcut(),
        with_head(nn.Conv2d(1, 4, 3), nn.GELU()),
        with_head(nn.Conv2d(1, 4, 3, dilation=2), nn.ReLU()),
        with_head(nn.Conv2d(1, 4, 3), nn.MaxPool2d(3, stride=2)),
    ],
    ids=["no maps", "no chain", "unknown layer", "unusual convolution", "windows that overlap"],
)
def test_network_that_the_page_cannot_compute_has_no_layout(network: nn.Module) -> None:
    network(torch.zeros(1, 1, 28, 28))  # lazy layers now have their shapes
    assert layout_of(network, MNIST) is None


def trained(arch: str, network: str = "maxpool") -> TrainedNetwork:
    return TrainedNetwork(Path("last.ckpt"), arch, build_network(network).eval())


def test_page_computes_registered_networks_only() -> None:
    entries = setup([trained("maxpool"), trained("mynets.Own")])["networks"]
    assert [bool(entry["layers"]) for entry in entries] == [True, False]
    assert [bool(entry["weights"]) for entry in entries] == [True, False]


@pytest.mark.parametrize(
    ("archs", "colours"),
    [
        (["batchnorm", "mlp"], [2, 0]),
        (["maxpool", "maxpool"], [0, 1]),
        (["maxpool", "mynets.Own"], [0, 1]),
    ],
    ids=["as in figures", "two runs of one", "not registered"],
)
def test_colours_distinguish_the_networks_of_the_page(archs: list[str], colours: list[int]) -> None:
    assert colours_of([trained(arch) for arch in archs]) == colours

"""Feature maps, and which of their channels are inactive."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from convblocks.data.images import MNIST, ImageSets
from convblocks.demo.maps import GREY, MOST_MAPS, Layer, as_picture, layers_of, window_of
from convblocks.diagnosis.dead_units import dead_shares
from convblocks.model.networks import ConvMaxPoolNetwork, build_network
from convblocks.model.restore import TrainedNetwork


@pytest.mark.parametrize(
    ("arch", "shapes"),
    [
        ("mlp", [(100, 1, 1)]),
        ("maxpool", [(32, 28, 28), (64, 14, 14), (100, 7, 7)]),
        ("batchnorm", [(32, 14, 14), (64, 7, 7), (100, 4, 4)]),
    ],
)
def test_each_relu_has_its_maps_whose_inactive_channels_are_those_that_a_run_counts_as_dead(
    arch: str, shapes: list[tuple[int, ...]], digits: ImageSets
) -> None:
    torch.manual_seed(0)
    network, seven = build_network(arch).eval(), digits.test.images[:1]
    layers = layers_of(TrainedNetwork(Path("last.ckpt"), arch, network), seven[0].numpy())
    names = [f"relu{number}" for number in range(1, len(shapes) + 1)]
    assert [(layer.name, tuple(layer.maps.shape)) for layer in layers] == list(zip(names, shapes, strict=True))
    shares = dead_shares(network, [MNIST.normalize(seven)])
    assert {layer.name: float(layer.inactive.float().mean()) for layer in layers} == pytest.approx(shares)
    if isinstance(network, ConvMaxPoolNetwork):
        block: Any = network.blocks[0]
        with torch.inference_mode():
            assert torch.equal(layers[0].maps, block[:2](MNIST.normalize(seven))[0])  # convolution and ReLU


@pytest.mark.parametrize("arch", ["maxpool", "batchnorm"])
def test_a_pixel_of_the_first_layer_is_made_by_its_window(arch: str, digits: ImageSets) -> None:
    torch.manual_seed(0)
    network, seven = build_network(arch).eval(), digits.test.images[:1]
    trained = TrainedNetwork(Path("last.ckpt"), arch, network)
    layer, second, *_ = layers_of(trained, seven[0].numpy())
    window = window_of(trained, layer, seven[0].numpy())
    assert window
    padded = nn.functional.pad(MNIST.normalize(seven)[0, 0], (window["padding"],) * 4)
    convolution: Any = network.get_submodule("blocks.0.0")
    for unit, top, left in ((0, 0, 0), (5, 7, 9), (31, 13, 13)):
        row, column = top * window["stride"], left * window["stride"]
        made = padded[row : row + 3, column : column + 3].flatten() @ torch.tensor(window["weights"][unit])
        pixel = float((made + convolution.bias[unit]).detach().relu())
        assert float(layer.maps[unit, top, left]) == pytest.approx(pixel, abs=1e-5)
    assert window["side"] == window["every"] * layer.maps.shape[1]
    assert window_of(trained, second, seven[0].numpy()) is None


def test_a_network_of_ones_own_that_reads_row_by_row_has_maps_too(digits: ImageSets) -> None:
    network = nn.Sequential(nn.Flatten(1, 2), nn.Linear(28, 16), nn.ReLU(), nn.Flatten(), nn.Linear(448, 10)).eval()
    (layer,) = layers_of(TrainedNetwork(Path("own.ckpt"), "mynets.Rows", network), digits.test.images[0].numpy())
    assert tuple(layer.maps.shape) == (16, 1, 28)


def test_only_inactive_channels_are_grey() -> None:
    maps = torch.zeros(3, 2, 2)
    maps[0, 0, 0] = 5
    maps[2] = 1
    picture = as_picture(Layer("relu1", maps))
    side = picture.height
    tiles = [picture.crop((left, 0, left + side, side)).convert("RGB") for left in range(0, picture.width, side + 3)]
    grey = [np.all(np.asarray(tile) == GREY, axis=2) for tile in tiles]
    assert [(bool(tile.any()), bool(tile.all())) for tile in grey] == [(False, False), (True, True), (False, False)]
    assert tiles[0].getpixel((0, 0)) == (255, 255, 255)
    assert tiles[0].getpixel((side - 1, side - 1)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("shape", "caption"),
    [
        ((300, 3, 4), f"relu1: 300 maps of 3 x 4, 1 inactive, the first {MOST_MAPS} drawn"),
        ((2, 500, 400), "relu1: 2 maps of 500 x 400, 1 inactive"),
        ((7, 1, 90), "relu1: 7 maps of 1 x 90, 1 inactive"),
        ((9, 1, 1), "relu1: 9 units, 1 inactive"),
    ],
)
def test_pictures_of_any_layer_have_a_handy_size_and_a_caption(shape: tuple[int, int, int], caption: str) -> None:
    maps = torch.ones(shape)
    maps[1] = 0
    assert 28 <= max(as_picture(Layer("relu1", maps)).size) <= 1200
    assert str(Layer("relu1", maps)) == caption

"""Feature maps, and which of their channels are inactive."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSets
from convblocks.evaluation.trained import TrainedNetwork
from convblocks.handwriting.demo.maps import GREY, MOST_MAPS, Layer, as_picture, layers_of
from convblocks.handwriting.sight import Pixels
from convblocks.model.dead_units import dead_shares
from convblocks.model.networks import build_network, conv_maxpool_block


def fresh(arch: str) -> TrainedNetwork:
    torch.manual_seed(0)
    return TrainedNetwork(Path(f"{arch}.ckpt"), arch, build_network(arch).eval())


@pytest.fixture
def seven(digits: ImageSets) -> Pixels:
    pixels: Pixels = digits.test.images[0].numpy()
    return pixels


@pytest.mark.parametrize(
    ("arch", "shapes"),
    [
        ("mlp", [(100, 1, 1)]),
        ("maxpool", [(32, 28, 28), (64, 14, 14), (100, 7, 7)]),
        ("batchnorm", [(32, 14, 14), (64, 7, 7), (100, 4, 4)]),
    ],
)
def test_each_relu_has_a_layer_of_maps(arch: str, shapes: list[tuple[int, ...]], seven: Pixels) -> None:
    layers = layers_of(fresh(arch), seven)
    assert [tuple(layer.maps.shape) for layer in layers] == shapes
    assert [layer.name for layer in layers] == [f"relu{number}" for number in range(1, len(shapes) + 1)]


def test_the_maps_are_what_the_relu_passes_on(seven: Pixels) -> None:
    trained = fresh("maxpool")
    block = conv_maxpool_block(1, 32)
    of_block = "blocks.0."
    weights = trained.network.state_dict()
    block.load_state_dict({name.removeprefix(of_block): weights[name] for name in weights if name.startswith(of_block)})
    (first, *_) = layers_of(trained, seven)
    images = MNIST.normalize(torch.from_numpy(seven)[None])
    with torch.no_grad():
        expected = block[:2](images)  # convolution and ReLU
    assert torch.equal(first.maps, expected[0])


@pytest.mark.parametrize("arch", ["mlp", "maxpool", "batchnorm"])
def test_inactive_channels_of_one_image_are_those_that_a_run_counts_as_dead(arch: str, seven: Pixels) -> None:
    trained = fresh(arch)
    shares = dead_shares(trained.network, [MNIST.normalize(torch.from_numpy(seven)[None])])
    layers = layers_of(trained, seven)
    assert {layer.name: float(layer.inactive.float().mean()) for layer in layers} == pytest.approx(shares)


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


@pytest.mark.parametrize("shape", [(300, 3, 3), (2, 500, 400), (1, 1, 1), (7, 1, 90)])
def test_pictures_of_any_layer_have_a_handy_size(shape: tuple[int, int, int]) -> None:
    picture = as_picture(Layer("relu1", torch.rand(shape)))
    assert 28 <= max(picture.size) <= 1200


def test_the_caption_names_units_and_how_many_are_drawn() -> None:
    many = Layer("relu2", torch.ones(300, 3, 4))
    assert str(many) == f"relu2: 300 maps of 3 x 4, 0 inactive, the first {MOST_MAPS} drawn"
    assert str(Layer("relu1", torch.zeros(9, 1, 1))) == "relu1: 9 units, 9 inactive"


class Recurrent(nn.Module):
    """A network that reads an image row by row, with a ReLU after the state of each row."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(28, 16, batch_first=True)
        self.relu = nn.ReLU()
        self.head = nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        states: Tensor = self.head(self.relu(self.rnn(images.squeeze(1))[0])[:, -1])
        return states


def test_a_network_of_ones_own_has_maps_too(seven: Pixels) -> None:
    (layer,) = layers_of(TrainedNetwork(Path("own.ckpt"), "mynets.Recurrent", Recurrent().eval()), seven)
    assert tuple(layer.maps.shape) == (16, 1, 28)


def test_a_network_without_relus_has_none(seven: Pixels) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 30), nn.GELU(), nn.Linear(30, 10))
    assert layers_of(TrainedNetwork(Path("own.ckpt"), "mynets.Smooth", network.eval()), seven) == []

"""Dead units of a network: never above 0, whatever the image."""

import copy

import pytest
import torch
from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSets
from convblocks.model.dead_units import dead_shares
from convblocks.model.networks import ARCHITECTURES, ConvMaxPoolNetwork, build_network
from convblocks.training.fast_network import speed_up_network


@pytest.fixture(scope="module")
def images(digits: ImageSets) -> Tensor:
    return MNIST.normalize(digits.test.images[:50])


@torch.no_grad()
def hush(layer: nn.Module, units: int) -> None:
    """Make the first few units of a layer output -1 for any input."""
    for value, parameter in zip((0.0, -1.0), layer.parameters(), strict=True):  # weight, bias
        parameter[:units] = value


def half_dead() -> ConvMaxPoolNetwork:
    """A network with 0, 63 and 47 dead channels, by its biases."""
    torch.manual_seed(0)
    network = ConvMaxPoolNetwork()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for convolution, units in zip(convolutions, (0, 63, 47), strict=True):
        nn.init.constant_(convolution.bias, 1.0)  # type: ignore[arg-type]  # there is one
        hush(convolution, units)
    return network


def mostly_dead(arch: str) -> nn.Module:
    """A network with units that are active for few images, or for none."""
    torch.manual_seed(0)
    network = build_network(arch)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                module.bias -= 1.0
    return network.eval()


@torch.no_grad()
def counted(network: nn.Module, images: Tensor) -> dict[str, float]:
    """The shares, computed by checking each unit for each image."""
    shares: dict[str, float] = {}
    values = images
    for layer in [module for module in network.modules() if not list(module.children())]:  # in order
        values = layer(values)
        if isinstance(layer, nn.ReLU):
            units = values.shape[1]
            dead = [all(not image[unit].any() for image in values) for unit in range(units)]
            shares[f"relu{len(shares) + 1}"] = sum(dead) / units
    return shares


def test_units_dead_by_their_biases_are_counted(images: Tensor) -> None:
    assert dead_shares(half_dead(), [images]) == {"relu1": 0.0, "relu2": 63 / 64, "relu3": 47 / 100}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_shares_are_those_of_looking_at_each_unit(images: Tensor, arch: str) -> None:
    expected = counted(mostly_dead(arch), images)
    assert any(0 < share < 1 for share in expected.values())
    assert dead_shares(mostly_dead(arch), [images]) == expected


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_how_the_images_are_cut_into_batches_does_not_matter(images: Tensor, arch: str) -> None:
    assert dead_shares(mostly_dead(arch), images.split(7)) == dead_shares(mostly_dead(arch), [images])


@pytest.mark.parametrize("arch", ["maxpool", "batchnorm"])
def test_short_cuts_do_not_change_the_shares(images: Tensor, arch: str) -> None:
    fast = mostly_dead(arch)
    speed_up_network(fast)
    assert dead_shares(fast, [images]) == dead_shares(mostly_dead(arch), [images])


def test_a_unit_active_for_a_single_image_is_not_dead() -> None:
    layer = nn.Linear(2, 2, bias=False)
    nn.init.eye_(layer.weight)
    network = nn.Sequential(layer, nn.ReLU())
    images = torch.tensor([[-1.0, -1.0], [-1.0, -1.0], [1e-30, -1.0]])
    assert dead_shares(network, images.split(1)) == {"relu1": 0.5}


def test_the_network_is_left_as_it_was(images: Tensor) -> None:
    class Noise(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images + torch.rand(())

    network = nn.Sequential(Noise(), nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten())
    network[2].eval()
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    random_state = torch.get_rng_state()
    dead_shares(network, [images])
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(module._forward_hooks for module in network.modules())


def test_of_a_linear_layer_over_a_sequence_units_are_those_of_the_layer() -> None:
    layer = nn.Linear(3, 8)
    nn.init.constant_(layer.bias, 9.0)
    hush(layer, 2)
    assert dead_shares(nn.Sequential(layer, nn.ReLU()), [torch.rand(4, 5, 3)]) == {"relu1": 2 / 8}


def test_a_relu_that_is_used_twice_has_the_units_of_both_uses() -> None:
    relu, layers = nn.ReLU(), (nn.Linear(3, 8), nn.Linear(8, 2))
    for layer, silent in zip(layers, (3, 1), strict=True):
        nn.init.constant_(layer.bias, 99.0)
        hush(layer, silent)
    network = nn.Sequential(layers[0], relu, layers[1], relu)
    assert dead_shares(network, [torch.rand(4, 3), torch.rand(2, 3)]) == {"relu1": 4 / 10}


def test_relus_are_watched_before_their_output_is_overwritten() -> None:
    class Shifted(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return values.add_(1)

    network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(inplace=True), Shifted())
    hush(network[0], 8)
    assert dead_shares(network, [torch.rand(4, 3)]) == {"relu1": 1.0}


def test_a_relu6_is_a_relu() -> None:
    layer = nn.Linear(3, 8)
    nn.init.constant_(layer.bias, 9.0)
    hush(layer, 2)
    assert dead_shares(nn.Sequential(layer, nn.ReLU6()), [torch.rand(4, 3)]) == {"relu1": 2 / 8}


@pytest.mark.parametrize("activation", [nn.Identity, nn.LeakyReLU, nn.GELU, nn.Tanh])
def test_a_network_without_relus_has_no_shares(images: Tensor, activation: type[nn.Module]) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), activation())
    hush(network[1], 10)
    assert dead_shares(network, [images]) == {}

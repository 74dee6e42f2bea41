"""Dead units of a network: never above 0, whatever the image."""

import copy

import pytest
import torch
from torch import Tensor, nn

from convblocks.data.images import MNIST, ImageSets
from convblocks.diagnosis.dead_units import dead_shares
from convblocks.fast.network import speed_up_network
from convblocks.model.names import COURSE
from convblocks.model.networks import build_network


@pytest.fixture(scope="module")
def images(digits: ImageSets) -> Tensor:
    return MNIST.normalize(digits.test.images[:50])


@torch.no_grad()
def linear(inputs: int, units: int, dead: int) -> nn.Linear:
    """A layer whose first few units output -1 for any input, and the others more than 0
    for inputs in 0..1.
    """
    layer = nn.Linear(inputs, units)
    layer.weight[:dead], layer.bias[:dead], layer.bias[dead:] = 0.0, -1.0, 99.0
    return layer


@torch.no_grad()
def shares_unit_by_unit(network: nn.Module, images: Tensor) -> dict[str, float]:
    """The shares, computed by checking each unit for each image."""
    shares: dict[str, float] = {}
    values = images
    # In the order in which they compute.
    for layer in [module for module in network.modules() if not list(module.children())]:
        values = layer(values)
        if isinstance(layer, nn.ReLU):
            dead = [not values[:, unit].any() for unit in range(values.shape[1])]
            shares[f"relu{len(shares) + 1}"] = sum(dead) / len(dead)
    return shares


@pytest.mark.parametrize("arch", COURSE)
def test_dead_shares_are_those_of_looking_at_each_unit(images: Tensor, arch: str) -> None:
    """However the images are cut into batches, and with the short cut of training."""
    torch.manual_seed(0)
    network = build_network(arch).eval()
    for name, parameter in network.named_parameters():
        # Many units are then active for few images, or none.
        parameter.data -= 1.0 if name.endswith("bias") else 0.0
    expected = shares_unit_by_unit(network, images)
    assert any(0 < share < 1 for share in expected.values())
    assert dead_shares(network, [images]) == expected
    assert dead_shares(network, images.split(7)) == expected
    speed_up_network(network)
    assert dead_shares(network, [images]) == expected


def test_dead_shares_leave_the_network_as_it_was(images: Tensor) -> None:
    class Noise(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images + torch.rand(())

    network = nn.Sequential(
        Noise(), nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten()
    )
    network[2].eval()
    before, modes = (
        copy.deepcopy(network.state_dict()),
        [module.training for module in network.modules()],
    )
    random_state = torch.get_rng_state()
    dead_shares(network, [images])
    assert [module.training for module in network.modules()] == modes
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(inplace=True)], ids=str)
@pytest.mark.parametrize("shape", [(4, 3), (4, 5, 3)], ids=["units", "sequence"])
def test_dead_units_of_a_linear_layer_are_its_outputs(
    activation: nn.Module, shape: tuple[int, ...]
) -> None:
    class Shifted(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return values.add_(1)  # overwrites the output of the activation

    network = nn.Sequential(linear(3, 8, dead=2), activation, Shifted())
    assert dead_shares(network, [torch.rand(shape)]) == {"relu1": 2 / 8}


def test_dead_units_of_a_relu_that_is_used_twice_are_those_of_both_uses() -> None:
    relu = nn.ReLU()
    network = nn.Sequential(linear(3, 8, dead=3), relu, linear(8, 2, dead=1), relu, nn.LeakyReLU())
    assert dead_shares(network, [torch.rand(4, 3), torch.rand(2, 3)]) == {"relu1": 4 / 10}

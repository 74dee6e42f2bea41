"""Networks of blocks: the course's two are among them, and each choice changes what it says."""

import itertools
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import nn

from convblocks.blocks.network import Activation, BlockNetwork, Centring2d, Downsampling, Head, Normalisation
from convblocks.data.images import MNIST, ImageSpec
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES

CHOICES = [get_args(choice) for choice in (Downsampling, Normalisation, Head, Activation)]


@pytest.mark.parametrize(
    ("arch", "arguments"), [("maxpool", ("maxpool", "none", "flatten")), ("batchnorm", ("stride", "batch", "average"))]
)
def test_the_courses_networks_are_two_of_them_weight_for_weight(arch: str, arguments: tuple[Any, ...]) -> None:
    networks = []
    for build in (ARCHITECTURES[arch], lambda: BlockNetwork(*arguments)):
        torch.manual_seed(3)
        networks.append(build())
    one, other = networks
    assert list(one.state_dict()) == list(other.state_dict())
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    images = torch.rand(8, 1, 28, 28)
    assert torch.equal(one(images), other(images))


@pytest.mark.parametrize("arguments", [*itertools.product(*CHOICES)])
def test_every_combination_maps_images_to_logits(arguments: tuple[Any, Any, Any, Any]) -> None:
    assert BlockNetwork(*arguments)(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    odd = ImageSpec(3, 13, 9, ("a", "b", "c"), (0.5,) * 3, (0.2,) * 3)
    assert BlockNetwork(*arguments, 1.0, odd)(torch.rand(2, 3, 13, 9)).shape == (2, 3)


def test_the_initial_scale_is_that_of_the_convolutions() -> None:
    networks = []
    for scale in (1.0, 0.5):
        torch.manual_seed(0)
        networks.append(BlockNetwork(initial_scale=scale).state_dict())
    for name, values in networks[0].items():
        assert torch.equal(values * (0.5 if name.startswith("blocks") else 1), networks[1][name])


def test_channels_set_the_number_and_width_of_the_blocks() -> None:
    network = BlockNetwork(channels=[4, 6])
    assert [one.out_channels for one in network.modules() if isinstance(one, nn.Conv2d)] == [4, 6]
    assert network(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_the_cropped_edges_of_an_image_have_no_effect() -> None:
    torch.manual_seed(0)
    cropped, images = BlockNetwork(crop=2), torch.rand(3, 1, 28, 28)
    whole = BlockNetwork(image_spec=replace(MNIST, height=24, width=24))
    whole.load_state_dict(cropped.state_dict())
    assert torch.equal(cropped(images), whole(images[..., 2:-2, 2:-2]))


def test_centring_is_batch_normalisation_without_the_division() -> None:
    centring, normalisation = Centring2d(4), nn.BatchNorm2d(4, affine=False, eps=1e-12)
    for _ in range(3):
        images = torch.rand(8, 4, 5, 5) * 3
        deviation = images.var(dim=(0, 2, 3), correction=0).sqrt()
        torch.testing.assert_close(centring(images), normalisation(images) * deviation[:, None, None])
    torch.testing.assert_close(centring.running_mean, normalisation.running_mean)
    images = torch.rand(1, 4, 5, 5)
    torch.testing.assert_close(centring.eval()(images), images - centring.running_mean[:, None, None])


def test_centring_takes_the_images_of_mixed_precision() -> None:
    centring = Centring2d(1)
    centring(torch.full((2, 1, 2, 2), 3.0, dtype=torch.bfloat16))
    assert centring.running_mean.item() == pytest.approx(0.3)


def test_unknown_choices_and_small_images_are_refused() -> None:
    with pytest.raises(UsageError, match="'pool' is none of flatten, average"):
        BlockNetwork(head="pool")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'none' is none of maxpool, stride"):
        BlockNetwork("none", "none")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="7 x 28 are too small"):
        BlockNetwork(image_spec=replace(MNIST, height=7))
    with pytest.raises(UsageError, match="6 x 6 are too small: 8 x 8 are needed"):
        BlockNetwork(crop=11)

"""Networks of blocks: the course's two are among them, and each choice changes what it says."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from convblocks.data.images import MNIST, ImageSpec
from convblocks.errors import UsageError
from convblocks.model.networks import ARCHITECTURES
from lab.blocks import (
    Activation,
    BlockNetwork,
    Centring2d,
    Downsampling,
    Head,
    Normalisation,
    start_asymmetric,
)
from tests.conftest import REPOSITORY
from tests.core.run.test_trainer_options import assert_trains_by

CONFIGS = [
    path
    for path in sorted((REPOSITORY / "configs").glob("*.yaml"))
    if "arch: lab." in path.read_text()
]
CHOICES = [get_args(choice) for choice in (Downsampling, Normalisation, Head, Activation)]


@pytest.mark.parametrize(
    ("arch", "arguments"),
    [("maxpool", ("maxpool", "none", "flatten")), ("batchnorm", ("stride", "batch", "average"))],
)
def test_block_network_is_the_courses_weight_for_weight(
    arch: str, arguments: tuple[Any, ...]
) -> None:
    torch.manual_seed(3)
    course = ARCHITECTURES[arch]()
    torch.manual_seed(3)
    network = BlockNetwork(*arguments)
    assert list(course.state_dict()) == list(network.state_dict())
    assert all(map(torch.equal, course.state_dict().values(), network.state_dict().values()))
    images = torch.rand(8, 1, 28, 28)
    assert torch.equal(course(images), network(images))


@pytest.mark.parametrize("arguments", [*itertools.product(*CHOICES)])
def test_block_network_maps_images_to_logits_with_every_choice(
    arguments: tuple[Any, Any, Any, Any],
) -> None:
    odd = ImageSpec(3, 13, 9, ("a", "b", "c"), (0.5,) * 3, (0.2,) * 3)
    assert BlockNetwork(*arguments, 1.0, odd)(torch.rand(2, 3, 13, 9)).shape == (2, 3)


def test_block_network_scales_the_initial_convolutions() -> None:
    networks = []
    for scale in (1.0, 0.5):
        torch.manual_seed(0)
        networks.append(BlockNetwork(initial_scale=scale).state_dict())
    for name, values in networks[0].items():
        assert torch.equal(values * (0.5 if name.startswith("blocks") else 1), networks[1][name])


def test_block_network_halves_at_full_resolution_by_the_mean_or_by_one_value_of_four() -> None:
    images = torch.arange(48.0).view(1, 1, 6, 8)
    averaging, subsampling = (
        BlockNetwork(downsampling).blocks.get_submodule("0.2")
        for downsampling in ("average", "subsample")
    )
    assert torch.equal(averaging(images), nn.functional.avg_pool2d(images, 2))
    assert torch.equal(subsampling(images), images[..., 1::2, 1::2])


def test_block_network_starts_each_channel_with_one_positive_value_and_may_keep_its_biases() -> (
    None
):
    network = BlockNetwork(initialisation="asymmetric", learns_biases=False)
    state = network.state_dict()
    values = torch.cat(
        [state["blocks.0.0.weight"].flatten(1), state["blocks.0.0.bias"][:, None]], dim=1
    )
    assert bool((values.amax(dim=1) > 0).all())
    torch.manual_seed(0)
    wide = nn.Conv2d(64, 4096, 3)
    start_asymmetric(wide)
    # Of a normal variable.
    assert wide.weight.abs().median().item() == pytest.approx(0.6745 * 0.6007 / 24, rel=0.02)
    assert wide.bias is not None
    largest = torch.cat([wide.weight.flatten(1), wide.bias[:, None]], dim=1).amax(dim=1)
    assert largest.mean().item() == pytest.approx(2 / 3, abs=0.02)  # that of the density 2 x
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {f"blocks.{number}.0.bias" for number in range(3)}


def test_block_network_has_as_many_blocks_as_channels_and_does_not_see_the_cropped_edges() -> None:
    network, images = BlockNetwork(channels=[4, 6], crop=2), torch.rand(3, 1, 28, 28)
    assert [layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)] == [
        4,
        6,
    ]
    whole = BlockNetwork(channels=[4, 6], image_spec=replace(MNIST, height=24, width=24))
    whole.load_state_dict(network.state_dict())
    assert torch.equal(network(images), whole(images[..., 2:-2, 2:-2]))


def test_centring_is_batch_normalisation_without_the_division() -> None:
    centring, normalisation = Centring2d(4), nn.BatchNorm2d(4, affine=False, eps=1e-12)
    for _ in range(3):
        images = torch.rand(8, 4, 5, 5) * 3
        deviation = images.var(dim=(0, 2, 3), correction=0).sqrt()
        torch.testing.assert_close(
            centring(images), normalisation(images) * deviation[:, None, None]
        )
    torch.testing.assert_close(centring.running_mean, normalisation.running_mean)
    images = torch.rand(1, 4, 5, 5)
    torch.testing.assert_close(
        centring.eval()(images), images - centring.running_mean[:, None, None]
    )
    centring.train()(images.bfloat16())  # as in mixed precision


def test_block_network_refuses_unknown_choices_and_small_images() -> None:
    with pytest.raises(UsageError, match="'pool' is none of flatten, average"):
        BlockNetwork(head="pool")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="6 x 6 are too small: 8 x 8 are needed"):
        BlockNetwork(crop=11)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_block_network_trains_by_its_configs(workspace: Path, config: Path) -> None:
    assert_trains_by(config)

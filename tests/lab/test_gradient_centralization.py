"""Which gradients are centred, and when."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lab.blocks import BlockNetwork
from lab.gradient_centralization import GradientCentralization, centralize

WEIGHTS = ("blocks.0.0.weight", "blocks.1.0.weight", "blocks.2.0.weight", "head.1.weight")


def gradients(callback: GradientCentralization | None, step: int = 0) -> dict[str, Tensor]:
    """Those that the optimizer gets of a batch."""
    torch.manual_seed(0)
    network, images, digits = BlockNetwork(), torch.randn(32, 1, 28, 28), torch.arange(32) % 10
    nn.functional.cross_entropy(network(images), digits).backward()
    module: Any = SimpleNamespace(network=network)
    trainer: Any = SimpleNamespace(global_step=step)
    if callback:
        callback.on_before_optimizer_step(trainer, module, None)  # type: ignore[arg-type]
    return {
        name: found.grad for name, found in network.named_parameters() if found.grad is not None
    }


@pytest.mark.parametrize(("layer", "changed"), [(None, WEIGHTS), (2, WEIGHTS[1:2])])
def test_each_unit_of_the_layers_loses_its_mean_gradient(
    layer: int | None, changed: tuple[str, ...]
) -> None:
    plain, found = gradients(None), gradients(GradientCentralization(layer))
    assert {name for name in plain if not plain[name].equal(found[name])} == {*changed}
    for name in changed:
        units = plain[name].flatten(1)
        assert found[name].flatten(1).equal(units - units.mean(dim=1, keepdim=True))


def test_only_the_first_updates_are_changed_where_their_number_is_given() -> None:
    plain, callback = gradients(None), GradientCentralization(2, updates=10)
    before, after = (gradients(callback, step)[WEIGHTS[1]] for step in (9, 10))
    assert not before.equal(plain[WEIGHTS[1]])
    assert after.equal(plain[WEIGHTS[1]])


def test_centralized_gradient_of_a_unit_has_the_differences_that_it_had() -> None:
    gradient = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 0.0]])
    centralize(gradient)
    assert gradient.equal(torch.tensor([[-2.0, -1.0, 3.0], [0.0, 0.0, 0.0]]))

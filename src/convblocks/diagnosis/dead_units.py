"""Finds dead units: those whose ReLU outputs 0 for every image, so that no gradient
reaches their weights.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from convblocks.model.networks import evaluating

# Activations with output and gradient 0 for negative inputs, unlike LeakyReLU and GELU.
RELUS = (nn.ReLU, nn.ReLU6)


def dead_shares(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, float]:
    """The share, in 0..1, of dead units behind each ReLU: ``relu1``, ``relu2`` and so
    on in the order of the modules.

    A unit of a linear layer, or a channel of a convolution, is dead if its ReLU outputs
    0 for all images and at all positions. A ReLU that is used several times has the
    units of all uses, those of layers of the same size together: a unit of these is
    dead if it is in each. A ReLU that is never used is left out. Only modules of
    ``RELUS`` count. The network runs in evaluation mode; its modes and torch's random
    state are restored.

    Args:
        network: Any network.
        batches: Its inputs, on its device: (B, C, H, W) float, normalised.
    """
    # for each ReLU by the number of units: (units,) bool
    active: dict[str, dict[int, Tensor]] = {name: {} for name in _relus(network)}

    def note_units(name: str, units: Tensor) -> None:
        # ten times faster than any()
        above = units.amax(dim=tuple(range(1, units.ndim))) != 0
        uses = active[name]
        uses[len(above)] = above | uses.get(len(above), above)

    devices = {weights.device for weights in network.parameters() if weights.is_cuda}
    undisturbed = torch.random.fork_rng(devices)
    with evaluating(network), torch.no_grad(), undisturbed, watch_relus(network, note_units):
        for images in batches:
            network(images)
    shares = {}
    for name, uses in active.items():
        if uses:
            dead = ~torch.cat([*uses.values()])
            shares[name] = int(dead.sum()) / len(dead)
    return shares


@contextmanager
def watch_relus(network: nn.Module, note: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call ``note`` with the name and output of each ReLU in every forward pass, the
    units in dimension 0.

    The units of maps (B, units, H, W) are the channels, those of any other output its
    last dimension.
    """

    def note_output(name: str, relu: nn.Module, inputs: Any, output: Tensor) -> None:
        note(name, output.movedim(1 if output.ndim == 4 else -1, 0))

    with ExitStack() as stack:
        for name, relu in _relus(network).items():
            stack.enter_context(relu.register_forward_hook(partial(note_output, name)))
        yield


def _relus(network: nn.Module) -> dict[str, nn.Module]:
    """A network's ReLUs by name, in the order of its modules."""
    relus = [module for module in network.modules() if isinstance(module, RELUS)]
    return {f"relu{number}": relu for number, relu in enumerate(relus, 1)}

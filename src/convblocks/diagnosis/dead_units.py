"""Finds dead units: those whose ReLU outputs 0 for every image, so that no gradient reaches their weights."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from convblocks.diagnosis.relus import relus_of, watch_relus
from convblocks.model.networks import evaluating


def dead_shares(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, float]:
    """The share, in 0..1, of dead units behind each ReLU: ``relu1``, ``relu2`` and so on in the order of the modules.

    A unit of a linear layer, or a channel of a convolution, is dead if its ReLU outputs 0 for all images and at all
    positions. A ReLU that is used several times has the units of all uses, those of layers of the same size together: a
    unit of these is dead if it is in each. A ReLU that is never used is left out. Only modules of ``RELUS`` count. The
    network runs in evaluation mode; its modes and torch's random state are restored.

    Args:
        network: Any network.
        batches: Its inputs, on its device: (B, C, H, W) float, normalised.
    """
    active: dict[tuple[str, int], Tensor] = {}  # by ReLU and number of units: (units,) bool

    def note_units(name: str, units: Tensor) -> None:
        above = units.amax(dim=tuple(range(1, units.ndim))) != 0  # ten times faster than any()
        active[name, len(above)] = above | active.get((name, len(above)), above)

    undisturbed = torch.random.fork_rng({weights.device for weights in network.parameters() if weights.is_cuda})
    with evaluating(network), torch.no_grad(), undisturbed, watch_relus(network, note_units):
        for images in batches:
            network(images)
    shares = {}
    for name in relus_of(network):
        if units := [above for (relu, _), above in active.items() if relu == name]:
            dead = ~torch.cat(units)
            shares[name] = int(dead.sum()) / len(dead)
    return shares

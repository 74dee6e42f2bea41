"""Finds dead units: those whose ReLU outputs 0 for every image, so that no gradient reaches their weights."""

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from convblocks.diagnosis.relus import relus_of, watch_relus
from convblocks.model.networks import evaluating


def dead_shares(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, float]:
    """The share, in 0..1, of dead units behind each ReLU: ``relu1``, ``relu2`` and so on in the order of the modules.

    A unit of a linear layer, or a channel of a convolution, is dead if its ReLU outputs 0 for all images and at all
    positions. A ReLU that is used several times has the units of all uses; one that is never used is left out. Only
    modules of ``RELUS`` count. The network runs in evaluation mode; its modes and torch's random state are restored.

    Args:
        network: Any network.
        batches: Its inputs, on its device: (B, C, H, W) float, normalised.
    """
    relus, watch = relus_of(network), _Watch()
    undisturbed = torch.random.fork_rng({weights.device for weights in network.parameters() if weights.is_cuda})
    with evaluating(network), torch.no_grad(), undisturbed, watch_relus(network, watch.note_units):
        for images in batches:
            watch.uses.clear()
            network(images)
    return {name: watch.dead_share(name) for name in relus if watch.has_seen(name)}


class _Watch:
    """Notes which units were ever above 0."""

    def __init__(self) -> None:
        self.uses: Counter[str] = Counter()  # of each ReLU, in this batch
        self._active: dict[tuple[str, int, int], Tensor] = {}  # by ReLU, use and number of units: (units,) bool

    def note_units(self, name: str, units: Tensor) -> None:
        active = units.amax(dim=tuple(range(1, units.ndim))) != 0  # ten times faster than any()
        use = (name, self.uses[name], len(active))
        self._active[use] = active | self._active.get(use, active)
        self.uses[name] += 1

    def has_seen(self, name: str) -> bool:
        return any(relu == name for relu, _, _ in self._active)

    def dead_share(self, name: str) -> float:
        active = torch.cat([units for (relu, _, _), units in self._active.items() if relu == name])
        return int((~active).sum()) / len(active)

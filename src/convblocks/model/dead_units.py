"""Finds dead units: those whose ReLU outputs 0 for every image, so that no gradient reaches their weights."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from convblocks.model.networks import evaluating

# Layers that set the dimension of the units: 1 after a convolution, the last one after the others.
LAYERS = (_ConvNd, nn.Linear, nn.RNNBase)

# Activations with output and gradient 0 for negative inputs, unlike LeakyReLU and GELU.
RELUS = (nn.ReLU, nn.ReLU6)


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


def relus_of(network: nn.Module) -> dict[str, nn.Module]:
    """A network's ReLUs by name: ``relu1``, ``relu2`` and so on in the order of its modules."""
    relus = [module for module in network.modules() if isinstance(module, RELUS)]
    return {f"relu{number}": relu for number, relu in enumerate(relus, start=1)}


@contextmanager
def watch_relus(network: nn.Module, note: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call ``note`` with the name and output of each ReLU in every forward pass, the units in dimension 0."""
    unit_dimension = 1

    def note_layer(layer: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal unit_dimension
        unit_dimension = 1 if isinstance(layer, _ConvNd) else -1

    def hook_of(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def note_output(relu: nn.Module, inputs: Any, output: Tensor) -> None:
            note(name, output.movedim(unit_dimension, 0) if output.ndim > 1 else output.reshape(1, -1))

        return note_output

    with ExitStack() as stack:
        layers = [module for module in network.modules() if isinstance(module, LAYERS)]
        handles = [layer.register_forward_hook(note_layer) for layer in layers]
        handles += [relu.register_forward_hook(hook_of(name)) for name, relu in relus_of(network).items()]
        for handle in handles:
            stack.enter_context(handle)
        yield


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

"""Which units behind a network's ReLUs are silent: at 0 whatever the image, so that they learn nothing any more."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from convblocks.model.networks import evaluating

# What tells which dimension of an output counts units: of a convolution dimension 1, of the others the last one.
LAYERS = (_ConvNd, nn.Linear, nn.RNNBase)

# What gives 0, with a gradient of 0, for all that is negative; LeakyReLU and GELU do not.
RELUS = (nn.ReLU, nn.ReLU6)


def dead_shares(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, float]:
    """The share, in 0..1, of silent units behind each ReLU: ``relu1``, ``relu2`` and so on in the order of the modules.

    A unit of a linear layer, or a channel of a convolution, is silent if the ReLU makes 0 of it for all images and at
    all positions. A ReLU that is used several times has the units of all its uses; one that is not used has no share.
    Only modules of ``RELUS`` count. The network computes as in evaluation; its modes and torch's random numbers are
    left as they were.

    Args:
        network: Any network.
        batches: Images as it takes them, on its device: (B, C, H, W) float, normalised.
    """
    relus, watch = relus_of(network), _Watch()
    undisturbed = torch.random.fork_rng(_cuda_devices(network))
    with evaluating(network), torch.no_grad(), undisturbed, relus_watched(network, watch.note_units):
        for images in batches:
            watch.uses.clear()
            network(images)
    return {name: watch.dead_share(name) for name in relus if watch.has_seen(name)}


def relus_of(network: nn.Module) -> dict[str, nn.Module]:
    """A network's ReLUs in the order of its modules, each once: ``relu1``, ``relu2`` and so on."""
    relus = [module for module in network.modules() if isinstance(module, RELUS)]
    return {f"relu{number}": relu for number, relu in enumerate(relus, start=1)}


@contextmanager
def relus_watched(network: nn.Module, note: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call ``note`` with the name and the output of each ReLU whenever it computes, its units in dimension 0."""
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
    """Notes which units have ever been above 0."""

    def __init__(self) -> None:
        self.uses: Counter[str] = Counter()  # of each ReLU, in this batch
        self._active: dict[tuple[str, int, int], Tensor] = {}  # by ReLU, use and number of units: (units,) bool

    def note_units(self, name: str, units: Tensor) -> None:
        active = units.amax(dim=tuple(range(1, units.ndim))) != 0  # a tenth of the time of any()
        use = (name, self.uses[name], len(active))
        self._active[use] = active | self._active.get(use, active)
        self.uses[name] += 1

    def has_seen(self, name: str) -> bool:
        return any(relu == name for relu, _, _ in self._active)

    def dead_share(self, name: str) -> float:
        active = torch.cat([units for (relu, _, _), units in self._active.items() if relu == name])
        return int((~active).sum()) / len(active)


def _cuda_devices(network: nn.Module) -> list[torch.device]:
    """The CUDA devices that the network's parameters lie on."""
    return list({parameter.device for parameter in network.parameters() if parameter.is_cuda})

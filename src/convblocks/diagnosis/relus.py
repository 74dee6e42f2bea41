"""A network's ReLUs: their names, and their outputs in a forward pass."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

# Layers that set the dimension of the units: 1 after a convolution, the last one after the others.
LAYERS = (_ConvNd, nn.Linear, nn.RNNBase)

# Activations with output and gradient 0 for negative inputs, unlike LeakyReLU and GELU.
RELUS = (nn.ReLU, nn.ReLU6)


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

    def note_output(name: str, relu: nn.Module, inputs: Any, output: Tensor) -> None:
        note(name, output.movedim(unit_dimension, 0) if output.ndim > 1 else output.reshape(1, -1))

    with ExitStack() as stack:
        layers = [module for module in network.modules() if isinstance(module, LAYERS)]
        handles = [layer.register_forward_hook(note_layer) for layer in layers]
        handles += [relu.register_forward_hook(partial(note_output, name)) for name, relu in relus_of(network).items()]
        for handle in handles:
            stack.enter_context(handle)
        yield

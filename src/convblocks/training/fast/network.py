"""The same layers in a cheaper order, with the same bits in all gradients, and so in the weights: so tested on CPU."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Hooks of all modules. torch 2.6 cannot tell whether there are any.
GLOBAL_HOOKS: list[dict[int, Any]] = [
    nn.modules.module._global_forward_hooks,
    nn.modules.module._global_forward_pre_hooks,
    nn.modules.module._global_backward_hooks,
    nn.modules.module._global_backward_pre_hooks,
]


class Sequential(nn.Sequential):
    """One that takes short cuts where nobody looks: a module that has hooks is called in its place, as it is.

    - ReLU before MaxPool2d comes after it. The largest of a window's values, rectified, is the largest of its rectified
      values, the first of equals gets the gradient either way, and where all are negative none does. (A zero may come
      with the other sign, which no sum can see.) ReLU, forward and backward, has a quarter of the work.
    - The gradient of such a pooling comes in the memory order of its images, or torch would copy all of them twice. (In
      front of a batch norm that would change the order of its sums.)
    - ReLU after Conv2d overwrites its input, which no gradient needs.

    Named as what it replaces, since ``repr`` shows it. ``forward`` is as it was, for those who script or trace a
    network.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What nn.Sequential makes of its input."""
        is_usual = len(args) == 1 and not kwargs and isinstance(args[0], Tensor) and _is_plain(self, Sequential)
        if not is_usual or any(GLOBAL_HOOKS) or torch.compiler.is_compiling():
            return super().__call__(*args, **kwargs)
        return self._take_short_cuts(args[0])

    def _take_short_cuts(self, images: Tensor) -> Tensor:
        modules = list(self)
        comes_after = False
        for before, module, after in zip([None, *modules], modules, [*modules[1:], None], strict=False):
            if comes_after:
                images = _in_one_memory_order(functional.relu_(module(images)))
                comes_after = False
            elif _commute(module, after):
                comes_after = True
            elif _overwrites(before, module):
                images = functional.relu_(images)
            else:
                images = module(images)
        return images


def speed_up_network(network: nn.Module) -> None:
    """Let a network take the short cuts, wherever in it two such layers stand side by side in an nn.Sequential."""
    for module in network.modules():
        if type(module) is nn.Sequential and any(_commute(*pair) or _overwrites(*pair) for pair in pairwise(module)):
            module.__class__ = Sequential


def _commute(relu: nn.Module | None, pool: nn.Module | None) -> bool:
    """Whether the one is a ReLU that keeps its input, and the other a pooling whose every window holds a value."""
    if not (_is_plain(relu, nn.ReLU) and _is_plain(pool, nn.MaxPool2d)):
        return False
    assert isinstance(relu, nn.ReLU)
    assert isinstance(pool, nn.MaxPool2d)
    return not relu.inplace and pool.dilation == 1 and not pool.return_indices  # a dilated window may hold none


def _overwrites(conv: nn.Module | None, relu: nn.Module | None) -> bool:
    return _is_plain(conv, nn.Conv2d) and _is_plain(relu, nn.ReLU)


def _is_plain(module: nn.Module | None, kind: type[nn.Module]) -> bool:
    """Whether it is of that very class, unchanged, and nobody looks at what it does."""
    if type(module) is not kind or "forward" in vars(module):
        return False
    return not (
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def _in_one_memory_order(images: Tensor) -> Tensor:
    """Have the gradient of images in channels_last come in channels_last too."""
    if images.requires_grad and images.dim() == 4 and images.is_contiguous(memory_format=torch.channels_last):
        images.register_hook(_to_channels_last)
    return images


def _to_channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)

"""The layers of a network, which the page computes itself to explain each pixel."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from convblocks.data.images import ImageSpec
from convblocks.model.networks import evaluating

# A layer for the page: its ``kind``, which network.js computes, what its numbers are, and the
# ``name`` of its weights among the network's.
Layer = dict[str, Any]

# Layers that have nothing to say but their kind.
PLAIN: dict[type[nn.Module], str] = {nn.ReLU: "ReLU", nn.Tanh: "tanh", nn.Linear: "linear"}


def layout_of(network: nn.Module, image_spec: ImageSpec) -> list[Layer] | None:
    """The layers in the order in which they compute, such as ``{"kind": "conv", "name":
    "blocks.0.0", "kernel": 3, "stride": 1, "padding": 1}``; None if the page cannot compute them.

    It can if the network is one chain of layers that it knows, each of which takes what the one
    before returns, and begins with a convolution of square images.
    """
    _, height, width = image_spec.shape
    chain = _chain_of(network, torch.zeros(1, *image_spec.shape))
    layers = [_layer(name, module) for name, module in chain]
    known = [layer for layer in layers if layer]
    if not known or len(known) < len(layers) or height != width:
        return None
    ends = known[0]["kind"], known[-1]["kind"]
    return known if ends == ("conv", "linear") else None


def _chain_of(network: nn.Module, images: Tensor) -> list[tuple[str, nn.Module]]:
    """The layers without layers of their own, if each takes the output of the one before."""
    chain: list[tuple[str, nn.Module]] = []
    handed_on = [images]

    def note(name: str, layer: nn.Module, taken: tuple[Any, ...], output: Any) -> None:
        if len(taken) == 1 and taken[0] is handed_on[-1]:
            chain.append((name, layer))
            handed_on.append(output)

    hooks = [
        layer.register_forward_hook(partial(note, name))
        for name, layer in network.named_modules()
        if not [*layer.children()]
    ]
    try:
        with evaluating(network), torch.no_grad():
            logits = network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return chain if logits is handed_on[-1] else []


def _layer(name: str, module: nn.Module) -> Layer | None:
    """A layer for the page; None of one that it does not know."""
    if type(module) in PLAIN:
        return {"kind": PLAIN[type(module)], "name": name}
    match module:
        case nn.Conv2d() if _is_plain(module):
            (kernel, _), (stride, _) = module.kernel_size, module.stride
            same = (kernel - 1) // 2
            padding = same if module.padding == "same" else _first(module.padding)
            numbers = {"kernel": kernel, "stride": stride, "padding": padding}
            return {"kind": "conv", "name": name} | numbers
        case nn.MaxPool2d() | nn.AvgPool2d() if _is_plain_pool(module):
            kind = "pool" if isinstance(module, nn.MaxPool2d) else "average"
            return {"kind": kind, "name": name, "length": _first(module.kernel_size)}
        case nn.BatchNorm2d(affine=True, track_running_stats=True):
            return {"kind": "norm", "name": name, "epsilon": module.eps}
        case nn.AdaptiveAvgPool2d(output_size=1 | (1, 1)):
            return {"kind": "mean", "name": name}
        case nn.Flatten(start_dim=1, end_dim=-1):
            return {"kind": "flatten", "name": name}
    return None


def _first(size: Any) -> int:
    number: int = size[0] if isinstance(size, tuple) else size
    return number


def _is_square(size: Any) -> bool:
    return not isinstance(size, tuple) or len({*size}) == 1


def _is_plain(conv: nn.Conv2d) -> bool:
    """True for a convolution with a square window of odd length, a bias, and nothing unusual."""
    sizes = (conv.kernel_size, conv.stride, conv.dilation, conv.padding)
    is_square = all(isinstance(size, str) or _is_square(size) for size in sizes)
    is_usual = conv.groups == 1 and _first(conv.dilation) == 1 and conv.padding_mode == "zeros"
    is_odd = conv.kernel_size[0] % 2 == 1
    return is_square and is_usual and is_odd and conv.bias is not None and conv.padding != "valid"


def _is_plain_pool(pool: nn.MaxPool2d | nn.AvgPool2d) -> bool:
    """True for a pooling whose windows are squares beside each other that need no border."""
    length, stride = pool.kernel_size, pool.stride
    is_beside = _is_square(length) and _is_square(stride) and _first(length) == _first(stride)
    is_usual = getattr(pool, "dilation", 1) == 1 and getattr(pool, "divisor_override", None) is None
    return is_beside and is_usual and _first(pool.padding) == 0 and not pool.ceil_mode

"""The short cut of a network changes no bit, and hides nothing from hooks."""

import copy
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn

from convblocks.fast.network import speed_up_network
from convblocks.model.networks import ConvMaxPoolNetwork

INTEGERS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}

# A window may hold any of these: ties, all negative ones, zeros of both signs, and what
# is not a number.
VALUES = torch.tensor([-2.0, -1.0, -0.0, 0.0, 1.0, 3.0, float("inf"), float("-inf"), float("nan")])


def assert_same_bits(first: Tensor, second: Tensor) -> None:
    assert first.dtype == second.dtype
    integers = INTEGERS[first.dtype]
    assert torch.equal(
        first.detach().contiguous().view(integers), second.detach().contiguous().view(integers)
    )


def fast_copy(plain: nn.Module) -> nn.Module:
    """The same weights, with the short cut."""
    fast = copy.deepcopy(plain)
    speed_up_network(fast)
    return fast


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "pooling",
    [nn.MaxPool2d(2), nn.MaxPool2d(3, stride=2, padding=1), nn.MaxPool2d(2, ceil_mode=True)],
    ids=["2x2", "3x3, padded", "rounded up"],
)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_pooling_before_relu_gives_the_same_bits(
    dtype: torch.dtype, pooling: nn.Module, memory_format: torch.memory_format
) -> None:
    """With a different gradient at each position; images are odd, so that a row is left over."""
    plain = nn.Sequential(nn.ReLU(), pooling)
    images = VALUES[
        torch.randint(len(VALUES), (64, 16, 7, 7), generator=torch.Generator().manual_seed(0))
    ].to(dtype)
    images[:8].clamp_(max=-1)  # windows without a positive value are too rare among nine values
    images = images.to(memory_format=memory_format).requires_grad_()
    outputs = [network(images.clone()) for network in (plain, fast_copy(plain))]
    grad = torch.linspace(-1, 1, outputs[0].numel(), dtype=dtype).reshape(outputs[0].shape)
    gradients = [torch.autograd.grad(output, images, grad)[0] for output in outputs]
    # 0 and -0 are equal: no sum tells them apart.
    torch.testing.assert_close(*outputs, rtol=0, atol=0, equal_nan=True)
    assert_same_bits(*gradients)


def test_relu_works_in_place_and_after_pooling(monkeypatch: pytest.MonkeyPatch) -> None:
    relu = Mock(wraps=nn.functional.relu_)
    monkeypatch.setattr(nn.functional, "relu_", relu)
    monkeypatch.setattr(nn.ReLU, "forward", Mock(side_effect=AssertionError))
    fast_copy(ConvMaxPoolNetwork())(torch.rand(2, 1, 28, 28))
    sizes = [(2, 32, 14, 14), (2, 64, 7, 7), (2, 100, 3, 3)]
    assert [call.args[0].shape for call in relu.call_args_list] == sizes


HOOKS = ["forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"]


def seen_by(hook: str, network: nn.Module, layer: int) -> list[Tensor]:
    """The tensors that a hook keeps of a layer: its input, its output, or the latter's gradient."""
    tensors = []

    def keep(module: nn.Module, *values: Any) -> None:
        tensors.append(values[-1][0] if isinstance(values[-1], tuple) else values[-1])

    getattr(network.get_submodule(f"blocks.1.{layer}"), f"register_{hook}")(keep)
    images = torch.linspace(0, 1, 2 * 784).reshape(2, 1, 28, 28)
    network(
        images.requires_grad_()
    ).sum().backward()  # or torch would warn of the first layer's backward hook
    return tensors


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("hook", HOOKS)
def test_hook_of_a_layer_sees_the_order_as_written(hook: str, layer: int) -> None:
    """Also tensors that it keeps: nothing overwrites them afterwards."""
    plain = ConvMaxPoolNetwork()
    fast = fast_copy(plain)
    expected, seen = seen_by(hook, plain, layer), seen_by(hook, fast, layer)
    assert len(seen) == 1
    assert_same_bits(*seen, *expected)


def test_layers_that_do_not_commute_keep_their_places() -> None:
    images = -torch.ones(1, 1, 2, 2)
    fast_copy(nn.Sequential(nn.ReLU(inplace=True), nn.MaxPool2d(2)))(images)
    assert images.sum() == 0  # overwritten as ever
    changed = fast_copy(nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)))
    changed.get_submodule("0").forward = torch.neg
    assert changed(torch.ones(1, 1, 2, 2)).item() == -1
    # Torch pools a window that lies entirely in the padding to -inf, also after a ReLU.
    dilated = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2, stride=1, padding=1, dilation=4))
    images = torch.rand(1, 1, 3, 3)
    assert_same_bits(fast_copy(dilated)(images), dilated(images))


def test_fast_network_is_traced_exported_and_shown_as_written() -> None:
    plain = ConvMaxPoolNetwork().eval()
    network, images = fast_copy(plain), torch.rand(2, 1, 28, 28)
    layers = [
        node.target
        for node in torch.fx.symbolic_trace(network).graph.nodes
        if node.op == "call_module"
    ]
    assert layers[:3] == ["blocks.0.0", "blocks.0.1", "blocks.0.2"]
    assert torch.equal(torch.export.export(network, (images,)).module()(images), network(images))
    assert repr(network) == repr(plain)

"""The short cuts of a network change no bit, and hide nothing from hooks."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from convblocks.data.images import MNIST, ImageSets
from convblocks.model.networks import ConvBatchNormNetwork, ConvMaxPoolNetwork, build_network
from convblocks.model.summary import describe
from convblocks.training.fast_network import speed_up_network

CONV_ARCHS = ["maxpool", "batchnorm"]
DTYPES = [torch.float64, torch.float32, torch.bfloat16]

# Windows of 2x2 that are taken apart: by zeros, ties, and values that are no numbers.
WINDOWS: dict[str, list[float]] = {
    "zeros": [0.0, -0.0, -1.0, 0.0],
    "a negative zero first": [-0.0, -0.0, 0.0, -2.0],
    "a negative zero behind": [-1.0, -2.0, -0.0, -0.0],
    "ties": [1.0, 3.0, 3.0, 3.0],
    "all negative": [-1.0, -3.0, -2.0, -1.0],
    "all negative and tied": [-1.0, -1.0, -1.0, -1.0],
    "nan": [1.0, float("nan"), 2.0, 3.0],
    "two nans": [float("nan"), -1.0, float("nan"), 3.0],
    "inf": [float("inf"), 1.0, float("inf"), -1.0],
    "-inf": [float("-inf"), float("-inf"), float("-inf"), float("-inf")],
    "inf and nan": [float("inf"), float("nan"), float("-inf"), 0.0],
}
POOLINGS = {
    "2x2": nn.MaxPool2d(2),
    "3x3, padded": nn.MaxPool2d(3, stride=2, padding=1),
    "rounded up": nn.MaxPool2d(2, ceil_mode=True),
}
INTEGERS = {torch.float64: torch.int64, torch.float32: torch.int32, torch.bfloat16: torch.int16}


def assert_same_bits(one: Tensor, other: Tensor) -> None:
    assert one.dtype == other.dtype
    integers = INTEGERS[one.dtype]
    assert torch.equal(one.detach().contiguous().view(integers), other.detach().contiguous().view(integers))


def fast_copy(plain: nn.Module) -> nn.Module:
    """The same weights, with the short cuts."""
    fast = copy.deepcopy(plain)
    speed_up_network(fast)
    return fast


def images_of(window: list[float], dtype: torch.dtype) -> Tensor:
    """Images (2, 16, 7, 7), odd so that a row is left over, with windows that begin with each of the values."""
    rolled = torch.tensor(window + window[::-1]).repeat(2 * 16 * 7 * 7)[: 2 * 16 * 7 * 7]
    return rolled.reshape(2, 16, 7, 7).to(dtype)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_pooling_before_relu_gives_the_same_bits(dtype: torch.dtype, window: str, pooling: str) -> None:
    plain = nn.Sequential(nn.ReLU(), POOLINGS[pooling])
    fast = fast_copy(plain)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        images = images_of(WINDOWS[window], dtype).to(memory_format=memory_format)
        assert_same_way_there_and_back(plain, fast, images)


def assert_same_way_there_and_back(plain: nn.Module, fast: nn.Module, images: Tensor) -> None:
    """Outputs and gradients, for an output gradient with a different value at each position."""
    outputs, gradients = [], []
    for network in (plain, fast):
        leaf = images.clone().requires_grad_()
        output = network(leaf.clone())
        output.backward(torch.linspace(-1, 1, output.numel(), dtype=images.dtype).reshape(output.shape))
        assert leaf.grad is not None
        outputs.append(output)
        gradients.append(leaf.grad)
    torch.testing.assert_close(*outputs, rtol=0, atol=0, equal_nan=True)  # 0 and -0 are equal: no sum tells them apart
    assert_same_bits(*gradients)


def batch(digits: ImageSets) -> tuple[Tensor, Tensor]:
    return MNIST.normalize(digits.train.images[:16]), digits.train.labels[:16]


def forward_and_backward(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    logits: Tensor = network(images)
    nn.functional.cross_entropy(logits, targets).backward()
    return logits


@pytest.mark.parametrize("precision", [torch.float64, torch.float32, torch.bfloat16, "mixed"])
@pytest.mark.parametrize("arch", CONV_ARCHS)
def test_a_networks_logits_and_gradients_keep_their_bits(
    digits: ImageSets, arch: str, precision: torch.dtype | str
) -> None:
    images, targets = batch(digits)
    dtype = precision if isinstance(precision, torch.dtype) else torch.float32
    plain = build_network(arch).to(dtype)
    fast = fast_copy(plain)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed"):
        assert_same_bits(*(forward_and_backward(network, images.to(dtype), targets) for network in (plain, fast)))
    for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert one.grad.abs().sum() > 0
        assert_same_bits(one.grad, other.grad)


class Shapes(TorchDispatchMode):
    """Records the shapes on which an operation is called."""

    def __init__(self, operation: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # in torch
        self.operation = operation
        self.shapes: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ == self.operation:
            self.shapes.append(tuple(args[0].shape))
        return func(*args, **(kwargs or {}))


def test_relu_sees_a_quarter_of_the_values() -> None:
    network = ConvMaxPoolNetwork()
    speed_up_network(network)
    with Shapes("relu_") as forward, Shapes("threshold_backward") as backward:
        network(torch.rand(2, 1, 28, 28)).sum().backward()
    assert forward.shapes == [(2, 32, 14, 14), (2, 64, 7, 7), (2, 100, 3, 3)]
    assert backward.shapes == forward.shapes[::-1]


def test_relu_after_a_convolution_works_in_place() -> None:
    network = ConvBatchNormNetwork()
    speed_up_network(network)
    with Shapes("relu_") as in_place, Shapes("relu") as anew:
        network(torch.rand(2, 1, 28, 28))
    assert (len(in_place.shapes), len(anew.shapes)) == (3, 0)


def dead_channels(network: nn.Module, images: Tensor) -> list[int]:
    """The number of channels of each ReLU that are 0 everywhere, counted in a hook."""
    dead: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(
                lambda _module, _inputs, output: dead.append(int((output.amax(dim=(0, 2, 3)) == 0).sum()))
            )
    network(images)
    return dead


def test_dead_channels_are_counted_the_same(digits: ImageSets) -> None:
    images, _ = batch(digits)
    plain = ConvMaxPoolNetwork()
    for block in plain.blocks:
        nn.init.constant_(block.get_submodule("0").bias[::3], -100.0)  # type: ignore[index]  # a convolution's
    fast = fast_copy(plain)
    counted = dead_channels(plain, images)
    assert counted[0] >= 11
    assert dead_channels(fast, images) == counted


WATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "forward hook": lambda module, see: module.register_forward_hook(lambda _m, _i, output: see(output)),
    "forward pre-hook": lambda module, see: module.register_forward_pre_hook(lambda _m, inputs: see(inputs[0])),
    "backward hook": lambda module, see: module.register_full_backward_hook(lambda _m, _i, grads: see(grads[0])),
    "backward pre-hook": lambda module, see: module.register_full_backward_pre_hook(lambda _m, grads: see(grads[0])),
    "forward hook of all modules": lambda module, see: nn.modules.module.register_module_forward_hook(
        lambda called, _i, output: see(output) if called is module else None
    ),
    "forward pre-hook of all modules": lambda module, see: nn.modules.module.register_module_forward_pre_hook(
        lambda called, inputs: see(inputs[0]) if called is module else None
    ),
    "backward hook of all modules": lambda module, see: nn.modules.module.register_module_full_backward_hook(
        lambda called, _i, grads: see(grads[0]) if called is module else None  # type: ignore[index]  # a tuple, as above
    ),
    "backward pre-hook of all modules": lambda module, see: nn.modules.module.register_module_full_backward_pre_hook(
        lambda called, grads: see(grads[0]) if called is module else None  # type: ignore[index]  # likewise
    ),
}


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("watch", WATCHES)
@pytest.mark.parametrize("network", [ConvMaxPoolNetwork, ConvBatchNormNetwork])
def test_a_hook_sees_the_order_as_written(network: type[nn.Module], watch: str, layer: int) -> None:
    """Also tensors that it keeps: nothing overwrites them afterwards."""
    plain = network()
    fast = fast_copy(plain)
    images = torch.rand(2, 1, 28, 28, requires_grad=True)  # or torch would warn of the first layer's backward hook
    seen: list[list[Tensor]] = []
    for one in (plain, fast):
        kept: list[Tensor] = []
        watched = one.get_submodule(f"blocks.1.{layer}")
        handle = WATCHES[watch](watched, kept.append)
        one(images).sum().backward()
        handle.remove()
        seen.append(kept)
    assert [tensor.shape for tensor in seen[1]] == [tensor.shape for tensor in seen[0]]
    for before, now in zip(*seen, strict=True):
        assert_same_bits(before, now)


def test_relu_in_place_overwrites_its_input_as_ever() -> None:
    plain = nn.Sequential(nn.ReLU(inplace=True), nn.MaxPool2d(2))
    fast = fast_copy(plain)
    images = -torch.ones(1, 1, 2, 2)
    fast(images)
    assert images.sum() == 0


def test_a_layer_that_somebody_has_changed_is_called() -> None:
    network = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    speed_up_network(network)
    network[0].forward = torch.neg
    assert network(torch.ones(1, 1, 2, 2)).item() == -1


@pytest.mark.parametrize("arch", CONV_ARCHS)
def test_a_network_can_be_traced_and_exported(arch: str) -> None:
    network = build_network(arch).eval()
    speed_up_network(network)
    images = torch.rand(2, 1, 28, 28)
    layers = [node.target for node in torch.fx.symbolic_trace(network).graph.nodes if node.op == "call_module"]
    assert layers[:3] == ["blocks.0.0", "blocks.0.1", "blocks.0.2"]
    assert torch.equal(torch.export.export(network, (images,)).module()(images), network(images))


def test_a_dilated_pooling_keeps_its_place() -> None:
    """Torch pools a window that lies entirely in the padding to -inf, also after a ReLU."""
    plain = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2, stride=1, padding=1, dilation=4))
    fast = fast_copy(plain)
    images = torch.rand(1, 1, 3, 3)
    assert_same_bits(fast(images), plain(images))


@pytest.mark.parametrize("arch", CONV_ARCHS)
def test_a_network_has_the_same_repr(arch: str) -> None:
    plain = build_network(arch)
    fast = fast_copy(plain)
    assert repr(fast) == repr(plain)
    assert describe(fast, 64) == describe(plain, 64)
    assert list(fast.state_dict()) == list(plain.state_dict())

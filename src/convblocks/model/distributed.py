"""Sums over processes, and batch normalisation over all of a batch's images, wherever they are."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import FunctionCtx


def world_size() -> int:
    """The number of processes that train together; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def global_count(count: int, device: torch.device) -> int | Tensor:
    """The sum of a number over all processes; every process must call it."""
    if world_size() == 1:
        return count
    total = torch.tensor(count, device=device)
    distributed.all_reduce(total)
    return total


def broadcast_state(module: nn.Module) -> None:
    """Give all processes the parameters and buffers that the first one has."""
    if world_size() > 1:
        for tensor in module.state_dict().values():
            sent = tensor.contiguous()
            distributed.broadcast(sent, src=0)
            tensor.copy_(sent)


class SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is the sum of the gradients.

    Both directions are collective: every process must take part, in the same order.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the global batch, on any device.

    torch's own ``SyncBatchNorm`` does the same for CUDA alone. Input (B, C, H, W), where B may be 0 in some of the
    processes. Mean and variance are computed one after the other, as in one process, since the difference of a mean
    square and a squared mean loses digits.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name in torch's signature
        if not self.training or world_size() == 1:
            return super().forward(input)
        shape = (1, -1, 1, 1)
        count = _sum(input.new_tensor([input.shape[0] * input.shape[2] * input.shape[3]]))
        mean = _sum(input.sum(dim=(0, 2, 3))) / count
        centred = input - mean.view(shape)
        variance = _sum(centred.square().sum(dim=(0, 2, 3))) / count
        self._update_running(mean.detach(), variance.detach(), count)
        normalised = centred * torch.rsqrt(variance + self.eps).view(shape)
        return normalised * self.weight.view(shape) + self.bias.view(shape)

    def _update_running(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics by ``momentum``, as torch's batch norm does: the unbiased variance."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def synchronize_batch_norm(network: nn.Module) -> None:
    """Turn a network's ``BatchNorm2d`` layers into synchronised ones; parameters and buffers stay the same objects."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronizedBatchNorm2d


def _sum(tensor: Tensor) -> Tensor:
    total: Any = SumOverProcesses.apply(tensor)  # type: ignore[no-untyped-call]  # not in torch's types
    return torch.as_tensor(total)

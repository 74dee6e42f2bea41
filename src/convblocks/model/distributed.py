"""Sums over processes, and batch normalisation over all of a batch's images, wherever they are."""

import warnings
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import FunctionCtx
from torch.nn.modules.batchnorm import _BatchNorm


def world_size() -> int:
    """The number of processes that train together; 1 without a process group."""
    return distributed.get_world_size() if in_process_group() else 1


def in_process_group() -> bool:
    """Whether this process was made one of several that train together (or of one alone, as under Slurm)."""
    return distributed.is_available() and distributed.is_initialized()


def end_process_group() -> None:
    """Leave the process group, if any. It cannot be begun again by the same launcher."""
    if in_process_group():
        distributed.destroy_process_group()


def global_count(count: int, device: torch.device) -> int | Tensor:
    """The sum of a number over all processes; every process must call it."""
    if world_size() == 1:
        return count
    total = torch.tensor(count, device=device)
    distributed.all_reduce(total)
    return total


def gather(tensor: Tensor) -> Tensor:
    """The tensor of each process, which have the same shape: (processes, ...); all processes must call it."""
    if world_size() == 1:
        return tensor.unsqueeze(0)
    gathered = [torch.empty_like(tensor) for _ in range(world_size())]
    distributed.all_gather(gathered, tensor)
    return torch.stack(gathered)


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


class _Synchronized(_BatchNorm):
    """Batch normalisation by the statistics of the global batch, on any device.

    torch's own ``SyncBatchNorm`` does the same for CUDA alone. Input (B, C, ...), where B may be 0 in some of the
    processes. Mean and variance are computed one after the other, as in one process, since the difference of a mean
    square and a squared mean loses digits.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name in torch's signature
        if not self.training or world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]  # not in torch's types
        dims = [dim for dim in range(input.dim()) if dim != 1]
        shape = [-1 if dim == 1 else 1 for dim in range(input.dim())]
        count = _sum(input.new_tensor([input.numel() // input.shape[1]]))
        mean = _sum(input.sum(dim=dims)) / count
        centred = input - mean.view(shape)
        variance = _sum(centred.square().sum(dim=dims)) / count
        if self.track_running_stats:
            self._update_running(mean.detach(), variance.detach(), count)
        normalised = centred * torch.rsqrt(variance + self.eps).view(shape)
        if not self.affine:
            return normalised
        return normalised * self.weight.view(shape) + self.bias.view(shape)

    def _update_running(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics by ``momentum``, as torch's batch norm does: the unbiased variance."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), momentum)


class SynchronizedBatchNorm1d(_Synchronized, nn.BatchNorm1d):
    """Input (B, C) or (B, C, L)."""


class SynchronizedBatchNorm2d(_Synchronized, nn.BatchNorm2d):
    """Input (B, C, H, W)."""


class SynchronizedBatchNorm3d(_Synchronized, nn.BatchNorm3d):
    """Input (B, C, D, H, W)."""


SYNCHRONIZED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: SynchronizedBatchNorm1d,
    nn.BatchNorm2d: SynchronizedBatchNorm2d,
    nn.BatchNorm3d: SynchronizedBatchNorm3d,
}


def synchronize_batch_norm(network: nn.Module) -> None:
    """Turn a network's batch norm layers into synchronised ones; parameters and buffers stay the same objects."""
    for module in network.modules():
        if type(module) in SYNCHRONIZED:
            module.__class__ = SYNCHRONIZED[type(module)]
        elif isinstance(module, _BatchNorm) and not isinstance(module, _Synchronized | nn.SyncBatchNorm):
            name = type(module).__name__
            warnings.warn(f"{name} is not synchronised: each process takes its own statistics", stacklevel=2)


def _sum(tensor: Tensor) -> Tensor:
    total: Any = SumOverProcesses.apply(tensor)  # type: ignore[no-untyped-call]  # not in torch's types
    return torch.as_tensor(total)

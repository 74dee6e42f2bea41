"""Collectives, and batch norm over the global batch of several processes."""

import warnings
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from exact_resume.agreement import world_size


def sum_over_processes(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes; all processes must call it."""
    total = tensor.clone()
    if world_size() > 1:
        distributed.all_reduce(total)
    return total


def broadcast_state(module: nn.Module) -> None:
    """Give all processes the parameters and buffers of rank 0."""
    if world_size() > 1:
        for tensor in module.state_dict().values():
            sent = tensor.contiguous()
            distributed.broadcast(sent, src=0)
            tensor.copy_(sent)


class _NormalizeOverProcesses(torch.autograd.Function):
    """Batch norm over the global batch, of which each process holds a part: one
    collective per direction.

    In the forward pass the processes exchange count, mean and sum of squared deviations
    per channel, and combine them by the formula of Chan, Golub and LeVeque (1979),
    which avoids the cancellation of E[x²] - E[x]². In the backward pass they sum the
    two terms of the gradient. Every process must take part, in the same order, even
    without images.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,  # noqa: A002  # as in torch
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Input (B, C, ...) -> normalised input, and mean, variance (C,) and count ()
        of the global batch.
        """
        channels = input.shape[1]
        dims, shape = _all_but_channels(input)
        local_count = input.numel() // channels
        exact = input.to(torch.promote_types(input.dtype, torch.float32))
        local_mean = exact.sum(dims) / max(local_count, 1)
        centred = exact - local_mean.view(shape)
        deviation = centred.square().sum(dims)
        local = torch.cat([local_mean, deviation, local_mean.new_full((1,), local_count)])
        gathered = local.new_empty((world_size(), len(local)))
        distributed.all_gather(list(gathered), local)
        means, deviations, counts = gathered.split([channels, channels, 1], dim=1)
        count = counts.sum()
        mean = (means * counts).sum(dim=0) / count
        variance = (deviations + counts * (means - mean).square()).sum(dim=0) / count
        scale = torch.rsqrt(variance + eps)
        offset = local_mean - mean  # centred + offset is the deviation from the global mean
        factor = scale if weight is None else scale * weight
        shift = offset * factor if bias is None else offset * factor + bias
        ctx.save_for_backward(centred, offset, scale, factor, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return (
            torch.addcmul(shift.view(shape), centred, factor.view(shape)).to(input.dtype),
            mean,
            variance,
            count,
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
        centred, offset, scale, factor, count = ctx.saved_tensors
        dims, shape = _all_but_channels(gradient)
        exact = gradient.to(centred.dtype)
        bias_grad = exact.sum(dims)
        weight_grad = scale * ((exact * centred).sum(dims) + offset * bias_grad)
        mean_bias_grad, mean_weight_grad = (
            sum_over_processes(torch.stack([bias_grad, weight_grad])) / count
        )
        slope = -factor * scale * mean_weight_grad
        input_grad = torch.addcmul(
            (slope * offset - factor * mean_bias_grad).view(shape), centred, slope.view(shape)
        )
        input_grad = input_grad.addcmul_(exact, factor.view(shape)).to(gradient.dtype)
        # The gradients of weight and bias are this process's own:
        # DistributedDataParallel averages them.
        needs = ctx.needs_input_grad
        return input_grad, weight_grad if needs[1] else None, bias_grad if needs[2] else None, None


def _all_but_channels(tensor: Tensor) -> tuple[list[int], list[int]]:
    """The dimensions of (B, C, ...) to sum over, and the shape (1, C, 1, ...) that
    broadcasts (C,) to it.
    """
    dims = [dim for dim in range(tensor.dim()) if dim != 1]
    return dims, [1 if dim in dims else -1 for dim in range(tensor.dim())]


class _Synchronized(_BatchNorm):
    """Batch norm by the statistics of the global batch, on any device; torch's
    ``SyncBatchNorm`` is for GPUs only.

    Input (B, C, ...), where B may be 0 in some processes.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name in torch's signature
        if not self.training or world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]  # not in torch's types
        normalize: Any = _NormalizeOverProcesses.apply
        normalised, mean, variance, count = normalize(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._update_running(mean, variance, count)
        return torch.as_tensor(normalised)

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Update the running statistics by ``momentum``, as torch does, with the
        unbiased variance.
        """
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_(
            (variance * (count / (count - 1).clamp(min=1))).to(self.running_var), momentum
        )


# torch's layers, and for each a subclass that is synchronised.
SYNCHRONIZED: dict[type[nn.Module], type[nn.Module]] = {
    layer: type(f"Synchronized{layer.__name__}", (_Synchronized, layer), {})
    for layer in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
}


def synchronize_batch_norm(network: nn.Module) -> None:
    """Make a network's batch norm layers synchronised ones, with the same parameter and
    buffer objects.
    """
    for module in network.modules():
        if type(module) in SYNCHRONIZED:
            module.__class__ = SYNCHRONIZED[type(module)]
        elif isinstance(module, _BatchNorm) and not isinstance(
            module, _Synchronized | nn.SyncBatchNorm
        ):
            name = type(module).__name__
            warnings.warn(
                f"{name} is not synchronised: each process uses its own statistics", stacklevel=2
            )

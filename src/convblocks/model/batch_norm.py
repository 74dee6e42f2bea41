"""Batch norm over the global batch, of which each of several processes holds a part."""

import warnings
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from convblocks.model.distributed import sum_over_processes
from exact_resume.agreement import world_size


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
        # The argument has the name that it has in torch.
        input: Tensor,  # noqa: A002
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> tuple[Tensor, ...]:
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
        # list(gathered) are views of its rows, which all_gather fills.
        distributed.all_gather(list(gathered), local)
        means, deviations, counts = gathered.split([channels, channels, 1], dim=1)
        count = counts.sum()
        mean = (means * counts).sum(dim=0) / count
        variance = (deviations + counts * (means - mean).square()).sum(dim=0) / count
        scale = torch.rsqrt(variance + eps)
        # So centred + offset is the deviation from the global mean.
        offset = local_mean - mean
        factor = scale if weight is None else scale * weight
        shift = offset * factor
        if bias is not None:
            shift = shift + bias
        ctx.save_for_backward(centred, offset, scale, factor, count)
        ctx.mark_non_differentiable(mean, variance, count)
        normalised = torch.addcmul(shift.view(shape), centred, factor.view(shape))
        return normalised.to(input.dtype), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *unused: Tensor) -> tuple[Tensor | None, ...]:
        centred, offset, scale, factor, count = ctx.saved_tensors
        dims, shape = _all_but_channels(gradient)
        exact = gradient.to(centred.dtype)
        bias_grad = exact.sum(dims)
        weight_grad = scale * ((exact * centred).sum(dims) + offset * bias_grad)
        sums = sum_over_processes(torch.stack([bias_grad, weight_grad]))
        mean_bias_grad, mean_weight_grad = sums / count
        slope = -factor * scale * mean_weight_grad
        shift = slope * offset - factor * mean_bias_grad
        input_grad = torch.addcmul(shift.view(shape), centred, slope.view(shape))
        input_grad = input_grad.addcmul_(exact, factor.view(shape)).to(gradient.dtype)
        # The gradients of weight and bias are this process's own:
        # DistributedDataParallel averages them.
        _, needs_weight, needs_bias, _ = ctx.needs_input_grad
        return (
            input_grad,
            weight_grad if needs_weight else None,
            bias_grad if needs_bias else None,
            None,
        )


def _all_but_channels(tensor: Tensor) -> tuple[list[int], list[int]]:
    """The dimensions of (B, C, ...) to sum over, and the shape (1, C, 1, ...) that
    broadcasts (C,) to it.
    """
    dimensions = tensor.dim()
    return [0, *range(2, dimensions)], [1, -1] + [1] * (dimensions - 2)


class _Synchronized(_BatchNorm):
    """Batch norm by the statistics of the global batch, on any device; torch's
    ``SyncBatchNorm`` is for GPUs only.

    Input (B, C, ...), where B may be 0 in some processes.
    """

    # The name in torch's signature.
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if not self.training or world_size() == 1:
            return super().forward(input)
        # This method of torch has no type.
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        normalize: Any = _NormalizeOverProcesses.apply
        normalised, mean, variance, count = normalize(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._update_running(mean, variance, count)
        return torch.as_tensor(normalised)

    @torch.no_grad()
    def _update_running(self: Any, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Update the running statistics by ``momentum``, as torch does, with the
        unbiased variance.
        """
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        unbiased = variance * (count / (count - 1).clamp(min=1))
        self.running_var.lerp_(unbiased.to(self.running_var), momentum)


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
            warnings.warn(
                f"{type(module).__name__} is not synchronised: "
                "each process uses its own statistics",
                stacklevel=2,
            )

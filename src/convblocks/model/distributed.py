"""Collectives that do nothing with one process."""

from torch import Tensor, distributed, nn

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

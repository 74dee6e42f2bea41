"""What the processes of a run do together: collectives, and the end of their group."""

from torch import Tensor, distributed, nn


def world_size() -> int:
    """The number of processes that train together; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def end_process_group() -> None:
    """Leave the process group, if any, when Python exits: its threads sometimes abort a
    process that has not.

    Not earlier, since the next run in this process needs it, and the same launcher
    cannot create it again.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()


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

"""The state of one training process that Lightning's checkpoints lack, in tensors and plain values."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.data import _set_sampler_epoch
from lightning.fabric.utilities.types import _Stateful
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.connectors.logger_connector.result import _ResultMetric
from torch import distributed, nn
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_max, dim_zero_min, dim_zero_sum

from convblocks.model.distributed import world_size

State = dict[str, Any]


def state_of_all(trainer: Trainer, within_epoch: bool) -> list[State]:
    """The state of every process; each must call this.

    Random generators and, within an epoch, the sums over it (of torchmetrics in the module, and of what it logs) and
    the position of the training loaders.
    """
    own: State = {"generators": _generators()}
    if within_epoch:
        logged = trainer.fit_loop.epoch_loop._results
        own["metrics"] = {name: _sums(one) for name, one in _metrics(trainer.lightning_module).items()}
        own["logged"] = {key: _sums(one) for key, one in logged.items() if one.is_tensor}
        own["loaders"] = [one.state_dict() for one in loaders_of(trainer)] if keeps_position(trainer) else []
    states = [own] * world_size()
    if len(states) > 1:
        distributed.all_gather_object(states, own)
    return states


def restore_generators(states: Sequence[State], rank: int) -> None:
    """Restore the random generators of a process; all have those of the first if the number of processes changed."""
    state = states[rank if len(states) == world_size() else 0]["generators"]
    torch.set_rng_state(state["torch"].clone())  # a copy, since torch 2.13 crashes with a view
    random.setstate(state["python"])
    numpy = state["numpy"]
    np.random.set_state(
        numpy | {"state": {"key": numpy["state"]["key"].numpy().astype(np.uint32), "pos": numpy["state"]["pos"]}}
    )
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def restore_epoch(trainer: Trainer, states: Sequence[State]) -> None:
    """Restore the sums of an unfinished epoch and the position in it, and begin to iterate there."""
    rank, loop = trainer.global_rank, trainer.fit_loop
    for name, metric in _metrics(trainer.lightning_module).items():
        _restore_sums(metric, [one["metrics"].get(name, {}) for one in states], rank)
    _restore_logged(trainer, [one["logged"] for one in states])
    own = states[rank if len(states) == world_size() else 0]
    for loader, state in zip(loaders_of(trainer), own["loaders"], strict=True):
        _set_sampler_epoch(loader, trainer.current_epoch)  # Lightning does so after it has begun to iterate
        loader.load_state_dict(state)
    assert loop._data_fetcher is not None
    iter(loop._data_fetcher)  # the one that Lightning has begun may lack these states


def steps_done(trainer: Trainer) -> int:
    """The steps so far as loggers count them: with manual optimization a batch, however often optimizers step."""
    if trainer.lightning_module.automatic_optimization:
        return trainer.global_step
    return trainer.fit_loop.epoch_loop.batch_progress.total.ready


def loaders_of(trainer: Trainer) -> list[Any]:
    """The training loaders."""
    combined = trainer.fit_loop._combined_loader
    return [] if combined is None else combined.flattened


def keeps_position(trainer: Trainer) -> bool:
    """Whether all training loaders can save and restore where they are: ours and torchdata's can, torch's cannot."""
    return all(isinstance(loader, _Stateful) for loader in loaders_of(trainer))


def _generators() -> State:
    numpy: State = np.random.get_state(legacy=False)
    key = torch.from_numpy(numpy["state"]["key"].astype(np.int64))  # checkpoints hold no arrays, messages no uint32
    state: State = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": numpy | {"state": {"key": key, "pos": numpy["state"]["pos"]}},
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _metrics(module: nn.Module) -> dict[str, Metric]:
    return {name: one for name, one in module.named_modules() if isinstance(one, Metric)}


def _sums(metric: Metric) -> State:
    """The states of a metric, copied to the CPU, and how many updates they hold."""
    copied = {name: _on_cpu(value) for name, value in metric.metric_state.items()}
    return {"states": copied, "updates": metric._update_count}


def _on_cpu(value: Any) -> Any:
    return [one.cpu() for one in value] if isinstance(value, list) else value.detach().cpu().clone()


def _restore_sums(metric: Metric, saved: Sequence[State], rank: int) -> None:
    """Restore the states of a metric.

    If the number of processes has changed, the first gets the sums of all, and the others go on from nothing.
    """
    if not all(saved):
        return
    for name in metric._defaults:
        values = [one["states"][name] for one in saved]
        value = values[rank] if len(values) == world_size() else _combined(values, _reduction_of(metric, name), rank)
        device = metric.device
        setattr(metric, name, [one.to(device) for one in value] if isinstance(value, list) else value.to(device))
    metric._update_count, metric._computed = max(one["updates"] for one in saved), None


def _reduction_of(metric: Metric, state: str) -> Any:
    """How the values of a state in several processes become one; of a value that is logged by its ``reduce_fx``."""
    if isinstance(metric, _ResultMetric) and (metric.meta.is_max_reduction or metric.meta.is_min_reduction):
        return dim_zero_max if metric.meta.is_max_reduction else dim_zero_min
    return dim_zero_sum if isinstance(metric, _ResultMetric) else metric._reductions[state]


def _combined(values: Sequence[Any], reduction: Any, rank: int) -> Any:
    if isinstance(values[0], list):
        return [one for own in values for one in own] if rank == 0 else []
    if reduction in (dim_zero_min, dim_zero_max):
        return reduction(torch.stack(list(values)))
    total = torch.stack(list(values)).sum(dim=0) if reduction is dim_zero_sum else values[0]
    return total if rank == 0 else torch.zeros_like(total)


def _restore_logged(trainer: Trainer, saved: Sequence[State]) -> None:
    """Let each value that the module logs go on from its sum, when it is logged for the first time."""
    results, rank = trainer.fit_loop.epoch_loop._results, trainer.global_rank
    missing = set(saved[0])

    def update(key: str, value: Any, batch_size: int) -> None:
        if key in missing:
            missing.remove(key)
            _restore_sums(results[key], [one.get(key, {}) for one in saved], rank)
        if not missing:
            del results.update_metrics  # this function
        type(results).update_metrics(results, key, value, batch_size)

    if missing:
        results.update_metrics = update

"""The sums of an epoch that Lightning's checkpoints lack: of torchmetrics, and of what a module logs."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.connectors.logger_connector.result import _Metadata, _ResultMetric, _Sync
from torch import nn
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_max, dim_zero_min, dim_zero_sum

from convblocks.model.distributed import world_size

# The state of one process, in tensors and plain values.
State = dict[str, Any]

# The reductions of ``LightningModule.log``, by names for checkpoints, and as torchmetrics has them.
LOGGED = {"mean": torch.mean, "sum": torch.sum, "max": torch.max, "min": torch.min}
LOGGED |= {"builtin sum": sum, "builtin max": max, "builtin min": min}

# What a logged value is, in plain values; ``reduce_fx`` and the way to synchronise are functions.
PLAIN = [one.name for one in fields(_Metadata) if one.name not in ("reduce_fx", "_sync")]


def sums_of(trainer: Trainer) -> State:
    """The sums of this process."""
    logged = trainer.fit_loop.epoch_loop._results.items()
    return {
        "metrics": {name: _sums(one) for name, one in _metrics(trainer.lightning_module).items()},
        "logged": {key: _sums(one) | _description(one) for key, one in logged if one.meta.sync.group is None},
    }


def restore_sums(trainer: Trainer, states: Sequence[State]) -> None:
    """Restore the sums of this process from those of all.

    If the number of processes has changed, the first gets the sums of all metrics, and the others go on from nothing;
    what is logged is then averaged over the rest of the epoch, since it may be synchronised otherwise.
    """
    module, rank = trainer.lightning_module, trainer.global_rank
    for name, metric in _metrics(module).items():
        if all(name in one["metrics"] for one in states):
            _restore(metric, _of_process(metric, [one["metrics"][name] for one in states], rank))
    if len(states) != world_size():
        return
    trainer._logger_connector._first_loop_iter = True  # the next batch is not the first, at which sums are reset
    for key, saved in states[rank]["logged"].items():
        if (value := _logged(trainer, module, saved)) is not None:
            trainer.fit_loop.epoch_loop._results[key] = value
            _restore(value, saved)


def _metrics(module: nn.Module) -> dict[str, Metric]:
    return {name: one for name, one in module.named_modules() if isinstance(one, Metric)}


def _sums(metric: Metric) -> State:
    """The states of a metric, copied to the CPU, and how many updates they hold."""
    copied = {name: _on_cpu(value) for name, value in metric.metric_state.items()}
    return {"states": copied, "updates": metric._update_count}


def _on_cpu(value: Any) -> Any:
    return [one.cpu() for one in value] if isinstance(value, list) else value.detach().cpu().clone()


def _description(logged: _ResultMetric) -> State:
    """What is known of a logged value beyond its sum."""
    meta, last = logged.meta, logged._forward_cache
    return {
        "plain": {name: getattr(meta, name) for name in PLAIN},
        "reduction": next(name for name, function in LOGGED.items() if function is meta.reduce_fx),
        "sync": {"_should": meta.sync.should, "rank_zero_only": meta.sync.rank_zero_only},
        "is_tensor": logged.is_tensor,
        "has_reset": logged.has_reset,
        "last": None if last is None else _on_cpu(last),
    }


def _logged(trainer: Trainer, module: LightningModule, saved: State) -> _ResultMetric | None:
    """A logged value as it was, without its sum; None of a metric whose name in the module is not known."""
    meta = _Metadata(**saved["plain"], reduce_fx=LOGGED[saved["reduction"]])  # type: ignore[arg-type]  # of any kind
    meta.sync = _Sync(trainer.strategy.reduce, **saved["sync"])
    logged = _ResultMetric(meta, saved["is_tensor"]).to(module.device)
    if not logged.is_tensor:
        if meta.metric_attribute is None:
            return None
        logged.value = module.get_submodule(meta.metric_attribute)
    last = saved["last"]
    logged.has_reset, logged._forward_cache = saved["has_reset"], last if last is None else last.to(module.device)
    return logged


def _restore(metric: Metric, saved: State) -> None:
    for name, value in saved["states"].items():
        moved = [one.to(metric.device) for one in value] if isinstance(value, list) else value.to(metric.device)
        setattr(metric, name, moved)
    metric._update_count, metric._computed = saved["updates"], None


def _of_process(metric: Metric, saved: Sequence[State], rank: int) -> State:
    if len(saved) == world_size():
        return saved[rank]
    states = {
        name: _combined([one["states"][name] for one in saved], reduction, rank)
        for name, reduction in metric._reductions.items()
    }
    return {"states": states, "updates": max(one["updates"] for one in saved)}


def _combined(values: Sequence[Any], reduction: Any, rank: int) -> Any:
    """A state of several processes as that of this one, where their number has changed."""
    if isinstance(values[0], list):
        return [one for own in values for one in own] if rank == 0 else []
    if reduction in (dim_zero_min, dim_zero_max):
        return reduction(torch.stack(list(values)))
    total = torch.stack(list(values)).sum(dim=0) if reduction is dim_zero_sum else values[0]
    return total if rank == 0 else torch.zeros_like(total)

"""The state of a training process that Lightning's checkpoints lack: generators, loaders, gradients and sums."""

import random
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.data import _set_sampler_epoch
from lightning.fabric.utilities.types import _Stateful
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.connectors.logger_connector.result import _Metadata, _ResultMetric, _Sync
from torch import distributed, nn
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


def state_of_all(trainer: Trainer, within_epoch: bool) -> list[State]:
    """The state of every process; each must call this.

    Random generators, those of the training loaders too, and within an epoch the sums over it, the position of the
    loaders, and the gradients if the module itself steps its optimizers.
    """
    module = trainer.lightning_module
    own: State = {"generators": _generators(), "of_loaders": [one.get_state() for one in _of_loaders(trainer)]}
    if within_epoch:
        own |= _all_sums(trainer)
        own["loaders"] = [one.state_dict() for one in loaders_of(trainer)] if keeps_position(trainer) else []
        gradients = {name: one.grad for name, one in module.named_parameters() if one.grad is not None}
        own["gradients"] = {} if module.automatic_optimization else {name: one.cpu() for name, one in gradients.items()}
    states = [own] * world_size()
    if len(states) > 1:
        distributed.all_gather_object(states, own)
    return states


def restore_generators(states: Sequence[State], rank: int) -> None:
    """Restore the random generators of a process; all have those of the first if the number of processes changed."""
    state = _of_process(states, rank)["generators"]
    torch.set_rng_state(state["torch"].clone())  # a copy, since torch 2.13 crashes with a view
    random.setstate(state["python"])
    numpy = state["numpy"]
    np.random.set_state(
        numpy | {"state": {"key": numpy["state"]["key"].numpy().astype(np.uint32), "pos": numpy["state"]["pos"]}}
    )
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def restore_between_epochs(trainer: Trainer, states: Sequence[State]) -> None:
    """Restore the generators of the training loaders, and let Lightning begin to iterate where it would otherwise.

    On a resume it does so before anything is restored.
    """
    _restore_of_loaders(trainer, _of_process(states, trainer.global_rank))
    trainer.fit_loop._resuming_from_checkpoint = False


def restore_within_epoch(trainer: Trainer, states: Sequence[State]) -> None:
    """Restore sums, gradients and position, and begin to iterate there."""
    module, own = trainer.lightning_module, _of_process(states, trainer.global_rank)
    _restore_all_sums(trainer, states)
    for name, gradient in own["gradients"].items():
        parameter = module.get_parameter(name)
        parameter.grad = gradient.to(parameter.device)
    for loader, state in zip(loaders_of(trainer), own["loaders"], strict=True):
        _set_sampler_epoch(loader, trainer.current_epoch)  # Lightning does so after it has begun to iterate
        loader.load_state_dict(state)
    fetcher = trainer.fit_loop._data_fetcher
    assert fetcher is not None
    iter(fetcher)  # what Lightning has begun may lack these states
    _restore_of_loaders(trainer, own)


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


def _of_process(states: Sequence[State], rank: int) -> State:
    return states[rank if len(states) == world_size() else 0]


def _of_loaders(trainer: Trainer) -> list[torch.Generator]:
    """The generators that the training loaders and their samplers have of their own."""
    found: dict[int, torch.Generator] = {}
    for loader in loaders_of(trainer):
        batches = getattr(loader, "batch_sampler", None)
        for owner in (loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None)):
            if isinstance(generator := getattr(owner, "generator", None), torch.Generator):
                found[id(generator)] = generator
    return list(found.values())


def _restore_of_loaders(trainer: Trainer, own: State) -> None:
    for generator, state in zip(_of_loaders(trainer), own["of_loaders"], strict=False):  # another layout has others
        generator.set_state(state.clone())


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


def _all_sums(trainer: Trainer) -> State:
    """The sums of this process."""
    logged = trainer.fit_loop.epoch_loop._results.items()
    return {
        "metrics": {name: _sums(one) for name, one in _metrics(trainer.lightning_module).items()},
        "logged": {key: _sums(one) | _description(one) for key, one in logged if one.meta.sync.group is None},
    }


def _restore_all_sums(trainer: Trainer, states: Sequence[State]) -> None:
    """Restore the sums of this process from those of all.

    If the number of processes has changed, the first gets the sums of all metrics, and the others go on from nothing;
    what is logged is then averaged over the rest of the epoch, since it may be synchronised otherwise.
    """
    module, rank = trainer.lightning_module, trainer.global_rank
    for name, metric in _metrics(module).items():
        if all(name in one["metrics"] for one in states):
            _restore_sums(metric, _sums_of_process(metric, [one["metrics"][name] for one in states], rank))
    if len(states) != world_size():
        return
    trainer._logger_connector._first_loop_iter = True  # the next batch is not the first, at which sums are reset
    for key, saved in states[rank]["logged"].items():
        if (value := _logged(trainer, module, saved)) is not None:
            trainer.fit_loop.epoch_loop._results[key] = value
            _restore_sums(value, saved)


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


def _restore_sums(metric: Metric, saved: State) -> None:
    for name, value in saved["states"].items():
        moved = [one.to(metric.device) for one in value] if isinstance(value, list) else value.to(metric.device)
        setattr(metric, name, moved)
    metric._update_count, metric._computed = saved["updates"], None


def _sums_of_process(metric: Metric, saved: Sequence[State], rank: int) -> State:
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

"""The state of a training process that Lightning's checkpoints lack: generators, loaders, gradients and sums."""

import io
from collections.abc import Sequence
from dataclasses import fields
from itertools import chain, islice
from typing import Any

import torch
from lightning.fabric.utilities.data import _set_sampler_epoch
from lightning.fabric.utilities.types import _Stateful
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.connectors.logger_connector.result import _Metadata, _ResultMetric, _Sync
from torch import Tensor, distributed, nn
from torchmetrics import Metric, MetricTracker
from torchmetrics.utilities.data import dim_zero_max, dim_zero_min, dim_zero_sum

from convblocks.model.distributed import world_size
from convblocks.run.generators import generators_in, global_generators, restore, states_of

# The state of one process, in tensors and plain values.
State = dict[str, Any]

# The reductions of ``LightningModule.log``, by names for checkpoints, and as torchmetrics has them.
LOGGED = {"mean": torch.mean, "sum": torch.sum, "max": torch.max, "min": torch.min}
LOGGED |= {"builtin sum": sum, "builtin max": max, "builtin min": min}

# What a logged value is, in plain values; ``reduce_fx`` and the way to synchronise are functions.
PLAIN = [one.name for one in fields(_Metadata) if one.name not in ("reduce_fx", "_sync")]


def state_of_all(trainer: Trainer, within_epoch: bool, began: State) -> list[State]:
    """The state of every process; each must call this.

    Random generators, metrics, buffers and data that no checkpoint holds, and within an epoch what is logged, the
    position of the loaders, and the gradients if the module itself steps its optimizers.

    Args:
        trainer: Which trains.
        within_epoch: Whether the epoch goes on.
        began: The states of the generators when the loaders began to iterate.
    """
    module = trainer.lightning_module
    own: State = {
        "generators": states_of(generators_of(trainer)),
        "metrics": {name: _sums(metric) for name, metric in _metrics_to_keep(trainer, within_epoch).items()},
        "buffers": {name: _on_cpu(buffer) for name, buffer in _buffers(module).items()},
        "data": [dataset.state_dict() for dataset in _stateful_data(trainer)],
    }
    if within_epoch:
        own |= {"logged": _all_logged(trainer), "began": began, "loaders": [], "fetched": []}
        if not lost_position(trainer):
            own |= {"loaders": [one.state_dict() for one in loaders_of(trainer)], "fetched": _fetched_ahead(trainer)}
        gradients = {name: one.grad for name, one in module.named_parameters() if one.grad is not None}
        own["gradients"] = {} if module.automatic_optimization else {name: one.cpu() for name, one in gradients.items()}
    states = [own] * world_size()
    if len(states) > 1:
        distributed.all_gather_object(states, own)
    return states


def restore_generators(trainer: Trainer, states: Sequence[State]) -> None:
    """Restore the random generators of a process; all have those of the first if the number of processes changed."""
    restore(generators_of(trainer), _of_process(states, trainer.global_rank)["generators"])


def restore_between_epochs(trainer: Trainer, states: Sequence[State]) -> None:
    """Restore metrics, buffers and data, and let Lightning start the epoch as it normally would.

    On a resume it does so before anything is restored.
    """
    _restore_values(trainer, states)
    for dataset, state in zip(_stateful_data(trainer), _of_process(states, trainer.global_rank)["data"], strict=True):
        dataset.load_state_dict(state)
    trainer.fit_loop._resuming_from_checkpoint = False


def restore_within_epoch(trainer: Trainer, states: Sequence[State]) -> State:
    """Restore metrics, buffers, gradients and position, and begin to iterate there; returns ``began``."""
    module, own = trainer.lightning_module, _of_process(states, trainer.global_rank)
    _restore_values(trainer, states)
    _restore_logged(trainer, states)
    for name, gradient in own["gradients"].items():
        parameter = module.get_parameter(name)
        parameter.grad = gradient.to(parameter.device)
    restore(generators_of(trainer), own["began"])  # the order of an epoch may be drawn again
    for loader, state in zip(loaders_of(trainer), own["loaders"], strict=True):
        _set_sampler_epoch(loader, trainer.current_epoch)  # Lightning does so after it has begun to iterate
        loader.load_state_dict(state)
    fetcher: Any = trainer.fit_loop._data_fetcher
    fetcher.prefetch_batches = 0  # the loaders' position is behind the batches that were fetched ahead
    iter(fetcher)  # what Lightning has begun may lack these states
    fetcher.prefetch_batches, fetcher.batches = 1, own["fetched"]
    for loader in loaders_of(trainer):
        iterator: Any = getattr(loader, "_iterator", None)  # of torchdata, which goes to the position at the next batch
        if isinstance(indices := getattr(iterator, "_sampler_iter", None), islice):
            iterator._sampler_iter = chain(list(islice(indices, 1)), indices)
    began: State = own["began"]
    return began


def steps_done(trainer: Trainer) -> int:
    """The steps so far as loggers count them: with manual optimization a batch, however often optimizers step."""
    if trainer.lightning_module.automatic_optimization:
        return trainer.global_step
    return trainer.fit_loop.epoch_loop.batch_progress.total.ready


def loaders_of(trainer: Trainer) -> list[Any]:
    """The training loaders."""
    combined = trainer.fit_loop._combined_loader
    return [] if combined is None else combined.flattened


def generators_of(trainer: Trainer) -> State:
    """The random generators of a process and of its training loaders, by their names."""
    return global_generators() | generators_in(loaders_of(trainer), "loaders")


def lost_position(trainer: Trainer) -> str:
    """Why the position of the training loaders cannot be saved and restored; empty if it can.

    Ours and torchdata's keep it, torch's do not.
    """
    if not all(isinstance(loader, _Stateful) for loader in loaders_of(trainer)):
        return "The training loader has no state_dict"
    try:
        content = io.BytesIO()
        torch.save(_fetched_ahead(trainer), content)
        torch.load(io.BytesIO(content.getvalue()), weights_only=True)
    except Exception:  # pickles of any object raise many types
        return "The training loader has no length, and its batches are more than tensors and plain values"
    return ""


def _fetched_ahead(trainer: Trainer) -> list[Any]:
    """The batches that Lightning has fetched to notice the last one: of loaders without a length."""
    return list(getattr(trainer.fit_loop._data_fetcher, "batches", ()))


def _of_process(states: Sequence[State], rank: int) -> State:
    return states[rank if len(states) == world_size() else 0]


def _stateful_data(trainer: Trainer) -> list[Any]:
    """The data sets of training loaders without worker processes that have a ``state_dict``."""
    data = [getattr(one, "dataset", None) for one in loaders_of(trainer) if not getattr(one, "num_workers", 0)]
    return [dataset for dataset in data if isinstance(dataset, _Stateful)]


def _all_logged(trainer: Trainer) -> State:
    """What the module has logged in this epoch, as sums of this process."""
    logged = trainer.fit_loop.epoch_loop._results.items()
    return {key: _description(one) | {"sums": _sums(one)} for key, one in logged if one.meta.sync.group is None}


def _restore_values(trainer: Trainer, states: Sequence[State]) -> None:
    """Restore metrics and buffers of this process from those of all.

    If the number of processes has changed, the first gets the sums of all metrics, and the others go on from nothing.
    """
    module, rank = trainer.lightning_module, trainer.global_rank
    own = _of_process(states, rank)
    for name, tracker in module.named_modules():
        while isinstance(tracker, MetricTracker) and any(
            f"{metric}.".startswith(f"{name}.{len(tracker)}.") for metric in own["metrics"]
        ):
            tracker.increment()
    for name, metric in _metrics(module).items():
        if all(name in one["metrics"] for one in states):
            _restore_sums(metric, _sums_of_process(metric, [one["metrics"][name] for one in states], rank))
    for name, value in own["buffers"].items():
        owner, _, attribute = name.rpartition(".")
        buffers = module.get_submodule(owner)._buffers
        if (buffer := buffers[attribute]) is None:
            buffers[attribute] = value.to(module.device)
        else:
            buffer.data = value.to(buffer.device)  # others may share it


def _restore_logged(trainer: Trainer, states: Sequence[State]) -> None:
    """Restore what the module has logged in this epoch.

    If the number of processes has changed, it is averaged over the rest of the epoch, since it may be synchronised
    otherwise.
    """
    if len(states) != world_size():
        return
    trainer._logger_connector._first_loop_iter = True  # the next batch is not the first, at which sums are reset
    for key, saved in states[trainer.global_rank]["logged"].items():
        if (value := _logged(trainer, trainer.lightning_module, saved)) is not None:
            trainer.fit_loop.epoch_loop._results[key] = value
            _restore_sums(value, saved["sums"])


def _metrics(module: nn.Module) -> dict[str, Metric]:
    return {name: one for name, one in module.named_modules() if isinstance(one, Metric)}


def _metrics_to_keep(trainer: Trainer, within_epoch: bool) -> dict[str, Metric]:
    """Without those that Lightning will reset, at the end of the epoch or of an evaluation, since they are logged."""
    loop = trainer.fit_loop.epoch_loop
    results = [*loop.val_loop._results.values(), *(() if within_epoch else loop._results.values())]
    reset = tuple(f"{one.meta.metric_attribute}." for one in results if not one.is_tensor)
    metrics = _metrics(trainer.lightning_module)
    return {name: metric for name, metric in metrics.items() if not f"{name}.".startswith(reset)}


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    """The buffers that are not in the ``state_dict``."""
    return {
        f"{name}.{own}".lstrip("."): buffer
        for name, part in module.named_modules()
        for own, buffer in part._buffers.items()
        if own in part._non_persistent_buffers_set and buffer is not None
    }


def _sums(metric: Metric) -> State:
    """The states of a metric, copied to the CPU, and its other numbers, such as how many updates they hold."""
    kept = {name: _on_cpu(value) for name, value in vars(metric).items() if isinstance(value, int | float | Tensor)}
    return kept | {name: _on_cpu(value) for name, value in metric.metric_state.items()}


def _on_cpu(value: Any) -> Any:
    if isinstance(value, list):
        return [one.cpu() for one in value]
    return value.detach().cpu().clone() if isinstance(value, Tensor) else value


def _description(logged: _ResultMetric) -> State:
    """What is known of a logged value beyond its sum."""
    meta = logged.meta
    return {
        "plain": {name: getattr(meta, name) for name in PLAIN},
        "reduction": next(name for name, function in LOGGED.items() if function is meta.reduce_fx),
        "sync": {"_should": meta.sync.should, "rank_zero_only": meta.sync.rank_zero_only},
    }


def _logged(trainer: Trainer, module: LightningModule, saved: State) -> _ResultMetric | None:
    """A logged value as it was, without its sum; None of a metric whose name in the module is not known."""
    meta = _Metadata(**saved["plain"], reduce_fx=LOGGED[saved["reduction"]])  # type: ignore[arg-type]  # of any kind
    meta.sync = _Sync(trainer.strategy.reduce, **saved["sync"])
    logged = _ResultMetric(meta, saved["sums"]["is_tensor"]).to(module.device)
    if not logged.is_tensor:
        if meta.metric_attribute is None:
            return None
        logged.value = module.get_submodule(meta.metric_attribute)
    return logged


def _restore_sums(metric: Metric, saved: State) -> None:
    for name, value in saved.items():
        setattr(metric, name, _on_device(value, metric.device))
    metric._computed = None


def _on_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [one.to(device) for one in value]
    return value.to(device) if isinstance(value, Tensor) else value


def _sums_of_process(metric: Metric, saved: Sequence[State], rank: int) -> State:
    if len(saved) == world_size():
        return saved[rank]
    states = {
        name: _combined([one[name] for one in saved], reduction, rank) for name, reduction in metric._reductions.items()
    }
    return saved[0] | states | {"_update_count": max(one["_update_count"] for one in saved)}


def _combined(values: Sequence[Any], reduction: Any, rank: int) -> Any:
    """A state of several processes as that of this one, where their number has changed."""
    if isinstance(values[0], list):
        return [one for own in values for one in own] if rank == 0 else []
    if reduction in (dim_zero_min, dim_zero_max):
        return reduction(torch.stack(list(values)))
    total = torch.stack(list(values)).sum(dim=0) if reduction is dim_zero_sum else values[0]
    return total if rank == 0 else torch.zeros_like(total)

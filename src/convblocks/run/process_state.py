"""The state of a training process that Lightning's checkpoints lack: generators,
loaders, gradients and sums.
"""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.fabric.utilities.data import _set_sampler_epoch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.connectors.logger_connector.result import (
    _Metadata,
    _ResultMetric,
    _Sync,
)
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, distributed, nn
from torchmetrics import Metric

from convblocks.model.distributed import world_size

# The state of one process, in tensors and plain values.
State = dict[str, Any]

# The reductions of ``LightningModule.log``, by names for checkpoints, and as torchmetrics has them.
LOGGED = {"mean": torch.mean, "sum": torch.sum, "max": torch.max, "min": torch.min}
LOGGED |= {"builtin sum": sum, "builtin max": max, "builtin min": min}


class Keeper:
    """What a wing adds to the state of a process; made when a training is set up,
    before its loaders are.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.name = type(self).__name__  # in checkpoints

    def state(self, within_epoch: bool) -> State:
        """This state, in tensors and plain values."""
        return {}

    def load(self, state: State) -> None:
        """Called before a resumed training starts."""

    def restore(self, state: State | None, within_epoch: bool) -> None:
        """Called when a training has started; a resumed one has a state, and its
        loaders are not yet in position.
        """

    def restore_position(self, state: State) -> None:
        """Called within an epoch, after they went there."""

    def lost_position(self) -> str:
        """Why the position of the training loaders is not kept; empty if it is."""
        return ""


def state_of_all(
    trainer: Trainer, within_epoch: bool, keepers: Sequence[Keeper], keeps_position: bool
) -> list[State]:
    """The state of every process; each must call this.

    Random generators, metrics, what wings keep, the gradients if the module itself
    steps its optimizers, and within an epoch what is logged, and the position of the
    loaders if they keep it.
    """
    module = trainer.lightning_module
    gradients = {
        name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None
    }
    state: State = {
        "generators": generators(trainer),
        "metrics": {
            name: _sums(metric) for name, metric in _metrics_to_keep(trainer, within_epoch).items()
        },
        "wings": {keeper.name: keeper.state(within_epoch) for keeper in keepers},
        "gradients": {}
        if module.automatic_optimization
        else move_data_to_device(gradients, torch.device("cpu")),
    }
    if within_epoch:
        state["logged"] = _all_logged(trainer)
        state["loaders"] = (
            [loader.state_dict() for loader in loaders_of(trainer)] if keeps_position else []
        )
    states = [state] * world_size()
    if len(states) > 1:
        distributed.all_gather_object(states, state)
    return states


def state_of_process(states: Sequence[State], rank: int) -> State:
    """The state of a process: that of the first if the number of processes has changed."""
    return states[rank if len(states) == world_size() else 0]


def restore(
    trainer: Trainer, states: Sequence[State], keepers: Sequence[Keeper], within_epoch: bool
) -> None:
    """Restore metrics, gradients and what wings keep; within an epoch also what is
    logged, and iterate from there.

    If the number of processes has changed, metrics begin again.
    """
    state = state_of_process(states, trainer.global_rank)
    for keeper in keepers:
        keeper.restore(state["wings"].get(keeper.name), within_epoch)
    for name, gradient in state["gradients"].items():
        parameter = trainer.lightning_module.get_parameter(name)
        parameter.grad = gradient.to(parameter.device)
    if len(states) == world_size():
        _restore_metrics(trainer, state)
    elif trainer.is_global_zero and (
        within_epoch or any(sums["_update_count"] for sums in state["metrics"].values())
    ):
        print(
            "the number of processes has changed: metric sums restart; this epoch's cover only its remaining batches"
        )
    if (
        not within_epoch
    ):  # Lightning must begin to iterate again: on a resume it did before anything was restored
        trainer.fit_loop._resuming_from_checkpoint = False
        return
    for loader, position in zip(loaders_of(trainer), state["loaders"], strict=True):
        _set_sampler_epoch(
            loader, trainer.current_epoch
        )  # Lightning does so after it has begun to iterate
        loader.load_state_dict(position)
    fetcher = trainer.fit_loop._data_fetcher
    assert fetcher is not None
    iter(fetcher)  # what Lightning has begun may lack these states
    for keeper in keepers:
        if kept := state["wings"].get(keeper.name):
            keeper.restore_position(kept)


def steps_done(trainer: Trainer) -> int:
    """The steps so far as loggers count them: with manual optimization a batch, however
    often optimizers step.
    """
    if trainer.lightning_module.automatic_optimization:
        return trainer.global_step
    return trainer.fit_loop.epoch_loop.batch_progress.total.ready


def loaders_of(trainer: Trainer) -> list[Any]:
    """The training loaders."""
    combined = trainer.fit_loop._combined_loader
    return [] if combined is None else combined.flattened


def generators(trainer: Trainer) -> State:
    """The states of the global random generators, and of those that training loaders
    and their samplers have.
    """
    numpy: State = np.random.get_state(legacy=False)
    numpy["state"]["key"] = numpy["state"]["key"].tolist()  # checkpoints hold no arrays
    state: State = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": numpy}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state | {
        "loaders": [generator.get_state() for generator in _generators_of_loaders(trainer)]
    }


def restore_generators(trainer: Trainer, state: State) -> None:
    """Restore the random generators of a process."""
    torch.set_rng_state(state["torch"].clone())  # a copy, since torch 2.13 crashes with a view
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    for generator, drawn in zip(
        _generators_of_loaders(trainer), state["loaders"], strict=False
    ):  # others by now
        generator.set_state(drawn.clone())


def _generators_of_loaders(trainer: Trainer) -> list[torch.Generator]:
    owners = [
        part
        for loader in loaders_of(trainer)
        for part in (loader, getattr(loader, "sampler", None))
    ]
    generators = dict.fromkeys(getattr(owner, "generator", None) for owner in owners)
    return [generator for generator in generators if isinstance(generator, torch.Generator)]


def _all_logged(trainer: Trainer) -> State:
    """What the module has logged in this epoch, as sums of this process, with what is
    known of each.
    """
    logged = trainer.fit_loop.epoch_loop._results.items()
    local = {key: value for key, value in logged if value.meta.sync.group is None}
    return {key: _description(value) | {"sums": _sums(value)} for key, value in local.items()}


def _restore_metrics(trainer: Trainer, state: State) -> None:
    """Restore the sums of metrics and, within an epoch, of what the module has logged in it."""
    for name, metric in _metrics(trainer.lightning_module).items():
        if name in state["metrics"]:
            _restore_sums(metric, state["metrics"][name])
    if "logged" not in state:
        return
    trainer._logger_connector._first_loop_iter = (
        True  # the next batch is not the first, at which sums are reset
    )
    for key, saved in state["logged"].items():
        if (value := _logged(trainer, trainer.lightning_module, saved)) is not None:
            trainer.fit_loop.epoch_loop._results[key] = value
            _restore_sums(value, saved["sums"])


def _metrics(module: nn.Module) -> dict[str, Metric]:
    return {name: part for name, part in module.named_modules() if isinstance(part, Metric)}


def _metrics_to_keep(trainer: Trainer, within_epoch: bool) -> dict[str, Metric]:
    """Without those that Lightning is about to reset, after an evaluation or an epoch,
    since they are logged.
    """
    loop = trainer.fit_loop.epoch_loop
    ended = loop.val_loop if trainer.validating else loop
    results = () if within_epoch and not trainer.validating else ended._results.values()
    reset = tuple(f"{logged.meta.metric_attribute}." for logged in results if not logged.is_tensor)
    metrics = _metrics(trainer.lightning_module)
    return {name: metric for name, metric in metrics.items() if not f"{name}.".startswith(reset)}


def _sums(metric: Metric) -> State:
    """The states of a metric, copied to the CPU, and its other numbers, such as how
    many updates they hold.
    """
    numbers = {
        name: value
        for name, value in vars(metric).items()
        if isinstance(value, int | float | Tensor)
    }
    states: State = numbers | metric.metric_state
    copied: State = apply_to_collection(states, Tensor, lambda value: value.detach().cpu().clone())
    return copied


def _description(logged: _ResultMetric) -> State:
    """What is known of a logged value beyond its sum, in plain values."""
    meta = logged.meta
    reduction = next(name for name, function in LOGGED.items() if function is meta.reduce_fx)
    return {
        "meta": vars(meta)
        | {"reduce_fx": reduction, "_sync": (meta.sync.should, meta.sync.rank_zero_only)}
    }


def _logged(trainer: Trainer, module: LightningModule, saved: State) -> _ResultMetric | None:
    """A logged value as it was, without its sum; None of a metric whose name in the
    module is not known.
    """
    known = saved["meta"]
    meta = _Metadata(**known | {"reduce_fx": LOGGED[known["reduce_fx"]], "_sync": None})
    meta.sync = _Sync(trainer.strategy.reduce, *known["_sync"])
    logged = _ResultMetric(meta, saved["sums"]["is_tensor"]).to(module.device)
    if not logged.is_tensor:
        if meta.metric_attribute is None:
            return None
        logged.value = module.get_submodule(meta.metric_attribute)
    return logged


def _restore_sums(metric: Metric, saved: State) -> None:
    for name, value in saved.items():
        setattr(metric, name, move_data_to_device(value, metric.device))
    metric._computed = None

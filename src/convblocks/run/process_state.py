"""The state of one training process that Lightning's checkpoints lack, in tensors and plain values."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.data import _set_sampler_epoch
from lightning.fabric.utilities.types import _Stateful
from lightning.pytorch import Trainer
from torch import distributed

from convblocks.model.distributed import world_size
from convblocks.run.metric_state import State, restore_sums, sums_of


def state_of_all(trainer: Trainer, within_epoch: bool) -> list[State]:
    """The state of every process; each must call this.

    Random generators, those of the training loaders too, and within an epoch the sums over it, the position of the
    loaders, and the gradients if the module itself steps its optimizers.
    """
    module = trainer.lightning_module
    own: State = {"generators": _generators(), "of_loaders": [one.get_state() for one in _of_loaders(trainer)]}
    if within_epoch:
        own |= sums_of(trainer)
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
    restore_sums(trainer, states)
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

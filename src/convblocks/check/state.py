"""Records the state of a training before each of a few steps, as a digest of each of
its parts, and ends it then.
"""

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torchmetrics import Metric

from convblocks.run.process_state import generators
from convblocks.run.resume import ExactResume, callbacks_of

# Steps of half an epoch, which is cut short: more than gradients are mostly accumulated for.
STEPS = 5

# How deep attributes are looked into: an object may hold a deque of tuples of tensors.
DEPTH = 4

# What nobody sets on purpose: attributes of any LightningModule, and what metrics
# compute again from their states.
NOT_OWN = {
    *vars(LightningModule()),
    "_computed",
    "_cache",
    "_to_sync",
    "_should_unsync",
    "_is_synced",
}


class Ended(Exception):  # noqa: N818  # not an error
    """The training has done its steps."""


class Recorder(Callback):
    """Records the state before each step of two epochs; the whole training saves and
    copies checkpoints on its way.

    Args:
        folder: Of the training; its name says whether it is resumed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.is_whole = folder, folder.name == "whole"
        self.states: list[tuple[int, dict[str, str]]] = []
        self.batches = 0  # of an epoch, before the checkpoint within it; 0 if there is none
        self.reason = ""  # why a checkpoint is missing

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        accumulated = trainer.accumulate_grad_batches
        steps = min(STEPS, int(trainer.num_training_batches // accumulated // 2))
        self.reason = next(
            resume.lost_position(trainer) for resume in callbacks_of(trainer, ExactResume)
        )
        self.reason = self.reason or ("" if steps else "An epoch has too few steps")
        self.batches = 0 if self.reason or not self.is_whole else accumulated * steps

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.is_whole and trainer.current_epoch == 1:
            self._copy(trainer, "end")
        if trainer.current_epoch == 2:
            self._end(trainer, pl_module)
            trainer.strategy.barrier()
            raise Ended

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.batches and trainer.fit_loop.epoch_loop.batch_idx == self.batches:
            self._copy(trainer, "later" if trainer.current_epoch else "within")
        self._record(trainer, pl_module, batch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._save_within(trainer, "on_train_batch_end")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_within(trainer, "on_validation_end")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.reason = self.reason or "The run ends too early"
        self._end(trainer, pl_module)

    def _save_within(self, trainer: Trainer, hook: str) -> None:
        """Save as after a signal, which came before this batch, but go on."""
        if self.batches and trainer.fit_loop.epoch_loop.batch_idx + 1 == self.batches:
            for resume in callbacks_of(trainer, ExactResume):
                resume.save_within_epoch(trainer, hook)

    def _copy(self, trainer: Trainer, place: str) -> None:
        if trainer.is_global_zero:
            shutil.copytree(self.folder, self.folder.with_name(place))

    def _record(self, trainer: Trainer, module: LightningModule, batch: Any = None) -> None:
        done = trainer.fit_loop.epoch_loop.batch_progress.total.ready - (batch is not None)
        self.states.append((done, state_of(trainer, module, batch)))

    def _end(self, trainer: Trainer, module: LightningModule) -> None:
        """Record the last state, and write all."""
        self._record(trainer, module)
        record = {"states": self.states, "reason": self.reason}
        (self.folder / f"record_{trainer.global_rank}.json").write_text(json.dumps(record))


def state_of(trainer: Trainer, module: LightningModule, batch: Any) -> dict[str, str]:
    """Digests, by kind and name, of what decides the next steps: with the batch to
    come, and what was logged.
    """
    # Lightning sets gradients to zero, but where the module itself steps its optimizers.
    weights = () if module.automatic_optimization else module.named_parameters()
    parts: dict[str, Iterable[tuple[Any, Any]]] = {
        "metric": [
            (name, part) for name, part in module.named_modules() if isinstance(part, Metric)
        ],
        "buffer": _buffers(module),
        "attribute": _attributes(trainer, module),
        "random": generators(trainer).items(),
        "batch": [("", batch)],
        "gradient": [(name, weight.grad) for name, weight in weights],
        "weight": module.state_dict().items(),
        "optimizer": enumerate(trainer.optimizers),
        "schedule": enumerate(config.scheduler for config in trainer.lr_scheduler_configs),
        "logged": [(name, value.double()) for name, value in trainer.callback_metrics.items()],
    }
    return {
        f"{kind} {name}".strip(): digest(value)
        for kind, named in parts.items()
        for name, value in named
    }


def digest(value: Any) -> str:
    """A hash of tensors, plain values and whatever holds them: numbers by their value,
    lists and tuples alike.
    """
    hashed = hashlib.blake2b(digest_size=16)
    for part in _bytes_of(value, DEPTH):
        hashed.update(part)
    return hashed.hexdigest()


def _bytes_of(value: Any, depth: int) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        yield f"{tensor.dtype} {tuple(tensor.shape)}".encode()
        dense = (
            tensor.clone() if tensor.layout == torch.strided else tensor.to_dense()
        )  # numpy() would pin its size
        yield dense.reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield from _bytes_of(value.tolist(), depth) if value.dtype.hasobject else [value.tobytes()]
    elif isinstance(value, bool | str | bytes | complex | None):
        yield repr(value).encode()
    elif isinstance(value, int | float | np.number):
        number = value.item() if isinstance(value, np.number) else value
        yield repr(
            int(number) if isinstance(number, float) and number.is_integer() else number
        ).encode()
    elif depth:
        yield b"sequence" if isinstance(value, list | tuple) else type(value).__name__.encode()
        for name, part in _inner(value):
            yield f"({name}".encode()
            yield from _bytes_of(part, depth - 1)


def _inner(value: Any) -> Iterable[tuple[Any, Any]]:
    """The parts of a value, by name; of one that is changed elsewhere, such as a
    module's Trainer, none.
    """
    match value:
        case Metric():
            return [item for item in _own(value) if not item[0].startswith("_")] + [
                ("updates", value._update_count)
            ]
        case LightningModule() | Trainer() | Callback() | type() | FunctionType() | MethodType():
            return ()
        case nn.Module():
            return [*value.state_dict().items(), *_buffers(value)]
        case Mapping():
            return [(name, part) for name, part in value.items()]
        case set() | frozenset():
            return enumerate(sorted(map(digest, value)))
        case list() | tuple() | deque():
            return enumerate(value)
    for state in (
        "state_dict",
        "get_state",
        "getstate",
    ):  # of optimizers, schedules and random generators
        if hasattr(value, state):
            return [(state, getattr(value, state)())]
    return (
        [("", value.bit_generator.state)] if isinstance(value, np.random.Generator) else _own(value)
    )


def _buffers(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Those that no checkpoint holds."""
    held = module.state_dict().keys()
    return [(name, buffer) for name, buffer in module.named_buffers() if name not in held]


def _own(part: Any) -> list[tuple[str, Any]]:
    items = getattr(part, "__dict__", {}).items()
    return [
        (name, value)
        for name, value in items
        if name not in NOT_OWN and not isinstance(value, MethodType)
    ]


def _attributes(trainer: Trainer, module: LightningModule) -> Iterator[tuple[str, Any]]:
    """Attributes of the module, of its parts and of callbacks, which Lightning neither
    saves nor restores.
    """
    for prefix, part in module.named_modules():
        if not isinstance(part, Metric):
            yield from ((f"{prefix}.{name}".lstrip("."), value) for name, value in _own(part))
    for callback in callbacks_of(trainer, Callback):
        if not type(callback).__module__.startswith(("lightning.", "convblocks.")):
            yield from (
                (f"{type(callback).__name__}.{name}", value)
                for name, value in vars(callback).items()
            )

"""Records the state of a training before each of a few steps, keeps copies of its checkpoints, and ends it then."""

import json
import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.check.state import state_of
from convblocks.run.resume import ExactResume, callbacks_of

# Steps before a checkpoint, and after it: more than gradients are mostly accumulated for.
STEPS = 5

# The trainings that go on, and where they are stopped: within their first epoch, or in two that are cut short.
FIRST, SHORT = "first", "short"
STOPS = {FIRST: ("within",), SHORT: ("end", "later")}

# The folder of a training that goes on; those that resume from its checkpoints have the names of the stops.
WHOLE = "whole"


class Ended(Exception):  # noqa: N818  # not an error
    """The training has done its steps."""


class Recorder(Callback):
    """Records the state before each step, lets ExactResume save checkpoints, keeps copies, and ends the training.

    Args:
        folder: Of the training; its names say how far it goes, and whether it is resumed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.is_whole, self.is_first = folder, folder.name == WHOLE, folder.parent.name == FIRST
        self.states: list[tuple[int, list[Any]]] = []
        self.batches = -1  # of an epoch, before the checkpoint within it; not known yet
        self.reason = ""  # why there is none

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        accumulated = trainer.accumulate_grad_batches
        steps = min(STEPS, trainer.num_training_batches // accumulated // 2)
        lost = next(resume.lost_position(trainer) for resume in callbacks_of(trainer, ExactResume))
        self.batches = -1 if lost or not steps else int(accumulated * steps)
        if self.is_first and self.batches < 0:
            self.reason = lost or "An epoch has too few steps"
            self._end(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.is_first and self.is_whole and trainer.current_epoch == 1:
            self._copy(trainer, "end")
        if not self.is_first and trainer.current_epoch == 2:
            self._record(trainer, pl_module)
            self._end(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._is_due(trainer, trainer.fit_loop.epoch_loop.batch_idx):
            self._copy(trainer, STOPS[self.folder.parent.name][-1])
        self._record(trainer, pl_module, batch)
        if self.is_first and trainer.fit_loop.epoch_loop.total_batch_idx == 2 * self.batches:
            self._end(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._save_within(trainer, "on_train_batch_end")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_within(trainer, "on_validation_end")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.reason = "The run ends too early"
        self._record(trainer, pl_module)
        self._write(trainer)

    def _is_due(self, trainer: Trainer, batches: int) -> bool:
        """Whether the checkpoint within an epoch is saved after this number of its batches."""
        epoch = 0 if self.is_first else 1
        return self.is_whole and trainer.current_epoch == epoch and batches == self.batches

    def _save_within(self, trainer: Trainer, hook: str) -> None:
        """Save as after a signal, which came before this batch, but go on."""
        if self._is_due(trainer, trainer.fit_loop.epoch_loop.batch_idx + 1):
            for resume in callbacks_of(trainer, ExactResume):
                resume.save_within_epoch(trainer, hook)

    def _copy(self, trainer: Trainer, stop: str) -> None:
        if trainer.is_global_zero:
            shutil.copytree(self.folder, self.folder.with_name(stop))

    def _record(self, trainer: Trainer, module: LightningModule, batch: Any = None) -> None:
        done = trainer.fit_loop.epoch_loop.batch_progress.total.ready - (batch is not None)
        state = [[*part, digest] for part, digest in state_of(trainer, module, batch).items()]
        self.states.append((done, state))

    def _end(self, trainer: Trainer) -> None:
        self._write(trainer)
        trainer.strategy.barrier()
        raise Ended

    def _write(self, trainer: Trainer) -> None:
        record = {"states": self.states, "reason": self.reason}
        (self.folder / f"record_{trainer.global_rank}.json").write_text(json.dumps(record))

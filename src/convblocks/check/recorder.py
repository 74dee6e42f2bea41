"""Records the state of a training before each of a few steps, keeps copies of its checkpoints, and ends it then."""

import json
import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.check.state import state_of
from convblocks.run.resume import ExactResume, callbacks_of

# Steps of half an epoch, which are cut short: more than gradients are mostly accumulated for.
STEPS = 5

# The folder of the training that goes on; those that resume from its checkpoints have the names of places.
WHOLE = "whole"


class Ended(Exception):  # noqa: N818  # not an error
    """The training has done its steps."""


class Recorder(Callback):
    """Records the state before each step of two epochs; the whole training saves and copies checkpoints on its way.

    Args:
        folder: Of the training; its name says whether it is resumed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.is_whole = folder, folder.name == WHOLE
        self.states: list[tuple[int, dict[str, str]]] = []
        self.batches = 0  # of an epoch, before the checkpoint within it; 0 if there is none
        self.reason = ""  # why a checkpoint is missing

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        accumulated = trainer.accumulate_grad_batches
        steps = min(STEPS, int(trainer.num_training_batches // accumulated // 2))
        self.reason = next(resume.lost_position(trainer) for resume in callbacks_of(trainer, ExactResume))
        self.reason = self.reason or ("" if steps else "An epoch has too few steps")
        self.batches = 0 if self.reason or not self.is_whole else accumulated * steps

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.is_whole and trainer.current_epoch == 1:
            self._copy(trainer, "end")
        if trainer.current_epoch == 2:
            self._end(trainer, pl_module)
            trainer.strategy.barrier()
            raise Ended

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
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

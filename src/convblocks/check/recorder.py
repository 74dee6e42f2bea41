"""Records the state of a training before each of a few steps, and ends it then."""

import json
import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    GradientAccumulationScheduler,
    StochasticWeightAveraging,
    WeightAveraging,
)

from convblocks.check.state import state_of
from convblocks.run.resume import ExactResume, callbacks_of

# Steps before the checkpoint, and after it.
STEPS = 3

# Where a check stops a training: epochs are cut short to check their ends, or not if it must be known.
WITHIN, AT_END, AT_WHOLE_END = "within", "end", "whole end"
WHOLE, SAVED, RESUMED = "whole", "saved", ("first", "second")


class Ended(Exception):  # noqa: N818  # not an error
    """The training has done its steps."""


class Recorder(Callback):
    """Records the state before each step, lets ExactResume save a checkpoint, keeps a copy, and ends the training.

    Args:
        folder: Of the training; its names say where the checkpoint is saved, and whether this is a resume from it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.is_whole, self.is_within = folder, folder.name == WHOLE, folder.parent.name == WITHIN
        self.states: list[tuple[int, list[Any]]] = []
        self.batches = -1  # before the checkpoint, and after it; not known yet
        self.reason = ""  # why there is no checkpoint in this place

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        accumulated = trainer.accumulate_grad_batches
        steps = min(STEPS, trainer.num_training_batches // accumulated // 2)
        self.batches = int(accumulated * steps)
        if self.is_within:
            lost = next(resume.lost_position(trainer) for resume in callbacks_of(trainer, ExactResume))
            self.reason = lost or ("" if steps else "An epoch has too few steps")
        if self.reason:
            self._end(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.is_within and trainer.current_epoch == 1 and self.is_whole:
            self._keep(trainer)
        if not self.is_within and trainer.current_epoch == 2:
            self._record(trainer, pl_module)
            self._end(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        done = trainer.fit_loop.epoch_loop.total_batch_idx
        if self.is_within and done == self.batches and self.is_whole:
            self._keep(trainer)
        self._record(trainer, pl_module, batch)
        if self.is_within and done == 2 * self.batches:
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

    def _save_within(self, trainer: Trainer, hook: str) -> None:
        """Save as after a signal, which came before this batch, but go on."""
        if self.is_within and self.is_whole and trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batches:
            for resume in callbacks_of(trainer, ExactResume):
                resume.save_within_epoch(trainer, hook)

    def _keep(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            shutil.copytree(self.folder, self.folder.with_name("saved"))

    def _record(self, trainer: Trainer, module: LightningModule, batch: Any = None) -> None:
        done = trainer.fit_loop.epoch_loop.batch_progress.total.ready - (batch is not None)
        state = [[*part, value] for part, value in state_of(trainer, module, batch).items()]
        self.states.append((done, state))

    def _end(self, trainer: Trainer) -> None:
        self._write(trainer)
        trainer.strategy.barrier()
        raise Ended

    def _write(self, trainer: Trainer) -> None:
        record = {"states": self.states, "idle": idle(trainer), "reason": self.reason}
        (self.folder / f"record_{trainer.global_rank}.json").write_text(json.dumps(record))


def idle(trainer: Trainer) -> list[str]:
    """What the training has, and what had not begun in the steps of the check."""
    epochs, found = trainer.current_epoch or 1, []
    for callback in callbacks_of(trainer, Callback):
        match callback:
            case StochasticWeightAveraging():
                begins = callback.swa_start
            case BackboneFinetuning():
                begins = callback.unfreeze_backbone_at_epoch
            case GradientAccumulationScheduler():
                begins = max(callback.scheduling)
            case WeightAveraging():
                begins = 0 if getattr(callback._average_model, "n_averaged", 0) else epochs
            case _:
                continue
        found += [type(callback).__name__] if begins >= epochs else []
    return found

"""Records the state of a training before each of a few steps, as a digest of each of
its parts, and ends it then.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from exact_resume.callback import ExactResume
from exact_resume.check.digest import digest

# Steps of half an epoch, which is cut short: more than gradients are mostly accumulated
# for.
STEPS = 5


class Ended(Exception):  # noqa: N818  # not an error
    """The training has done its steps."""


class Recorder(Callback):
    """Records the state before each step of two epochs; the whole training saves and
    copies checkpoints on its way.

    Args:
        folder: Of the training; its name says whether it is resumed.
        resume: Whose keepers name the parts of the state.
    """

    keeps_own_state = True

    def __init__(self, folder: Path, resume: ExactResume) -> None:
        self.folder, self.resume = folder, resume
        self.is_whole = folder.name == "whole"
        self.states: list[tuple[int, dict[str, str]]] = []
        self.batches = 0  # of an epoch, before the checkpoint within it; 0 if there is none
        self.reason = ""  # why a checkpoint is missing

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        accumulated = trainer.accumulate_grad_batches
        steps = min(STEPS, int(trainer.num_training_batches // accumulated // 2))
        self.reason = self.resume.lost_position()
        if not self.reason and not steps:
            self.reason = "An epoch has too few steps"
        if self.is_whole and not self.reason:
            self.batches = accumulated * steps

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.is_whole and trainer.current_epoch == 1:
            self._copy(trainer, "end")
        if trainer.current_epoch == 2:
            self._end(trainer)
            trainer.strategy.barrier()
            raise Ended

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.batches and trainer.fit_loop.epoch_loop.batch_idx == self.batches:
            self._copy(trainer, "later" if trainer.current_epoch else "within")
        self._record(trainer, batch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._save_within(trainer, "on_train_batch_end")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_within(trainer, "on_validation_end")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.reason = self.reason or "The run ends too early"
        self._end(trainer)

    def _save_within(self, trainer: Trainer, hook: str) -> None:
        """Save as after a signal, which came before this batch, but go on."""
        if self.batches and trainer.fit_loop.epoch_loop.batch_idx + 1 == self.batches:
            self.resume.save_within_epoch(trainer, hook)

    def _copy(self, trainer: Trainer, place: str) -> None:
        if trainer.is_global_zero:
            shutil.copytree(self.folder, self.folder.with_name(place))

    def _record(self, trainer: Trainer, batch: Any = None) -> None:
        begun = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        done = begun - (batch is not None)
        self.states.append((done, self._state(trainer, batch)))

    def _state(self, trainer: Trainer, batch: Any) -> dict[str, str]:
        """Digests, by kind and name, of what decides the next steps: with the batch to
        come, and what was logged.
        """
        parts: dict[str, Any] = {"batch": batch}
        for keeper in self.resume.keepers:
            parts |= keeper.parts()
        weights = trainer.lightning_module.state_dict()
        parts |= {f"weight {name}": weight for name, weight in weights.items()}
        parts |= {f"optimizer {i}": optimizer for i, optimizer in enumerate(trainer.optimizers)}
        return {name: digest(part) for name, part in parts.items()}

    def _end(self, trainer: Trainer) -> None:
        """Record the last state, and write all."""
        self._record(trainer)
        record = {"states": self.states, "reason": self.reason}
        path = self.folder / f"record_{trainer.global_rank}.json"
        path.write_text(json.dumps(record))

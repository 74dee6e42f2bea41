"""One training of a check, in a process of its own: ``python -m convblocks.check.part ROOT/NAME``.

``ROOT/make`` holds the function that makes the training. What the training writes stays in its folder, at last a record
of its states for each of its processes. ``ROOT/whole`` is the folder of the training that goes on; ``ROOT/within``,
``end`` and ``later`` are copies of it, from when its checkpoint was new there, in which a training resumes.
"""

import atexit
import json
import pickle
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers.logger import DummyLogger

from convblocks.check.state import state_of
from convblocks.console import end, status_of
from convblocks.model.distributed import end_process_group
from convblocks.run import signals, slurm
from convblocks.run.config import Config
from convblocks.run.quiet import quiet_further_processes, quiet_lightning
from convblocks.run.resume import ExactResume, callbacks_of
from convblocks.run.run import Run

# Steps of half an epoch, which is cut short: more than gradients are mostly accumulated for.
STEPS = 5

# A Trainer, and what starts its training, or resumes it.
Training = tuple[Trainer, Callable[[], None]]


class Ended(Exception):  # noqa: N818  # not an error
    """The training has done its steps."""


class Recorder(Callback):
    """Records the state before each step of two epochs; the whole training saves and copies checkpoints on its way.

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


def main(arguments: list[str]) -> None:
    """Run the part."""
    folder = Path(arguments[0])
    quiet_lightning()
    signals.end_together(is_further=True)  # with the check, whose part this is
    if slurm.is_further_process():
        quiet_further_processes()
    with (folder.parent / "make").open("rb") as file:
        trainer, fit = pickle.load(file)(folder)
    for number, callback in enumerate(callbacks_of(trainer, Checkpoint)):  # all write into the folder
        path = getattr(callback, "dirpath", "")
        if not Path(path or "").resolve().is_relative_to(folder.resolve()):
            callback.dirpath = str(folder / f"own_{number}")
    trainer.callbacks.insert(0, Recorder(folder))
    shorten(trainer)
    atexit.register(end_process_group)
    with suppress(Ended):
        fit()


def training_of_run(arguments: Sequence[str], folder: Path) -> Training:
    """The training of a command line of fit, whose run directory is in the folder; it resumes if it has begun."""
    run = Run(Config.parse([*arguments, "--name", "run", "--trainer.default_root_dir", str(folder), "--resume"]))
    run.prepare()
    if run.is_rank_zero:
        run.directory.create()

    def fit() -> None:
        run.start()
        run.trainer.loggers = [DummyLogger()]  # some callbacks want one
        run.train()

    return run.trainer, fit


def training_of_trainer(make: Callable[[], Sequence[Any]], folder: Path) -> Training:
    """The training of somebody's own Trainer, with its ExactResume or one more, whose checkpoint is in the folder."""
    trainer, module, *data = make()
    if not callbacks_of(trainer, ExactResume):
        trainer.callbacks.append(ExactResume("last.ckpt"))
    (resume, *_) = callbacks_of(trainer, ExactResume)
    resume.path, resume.dirpath = folder / resume.path.name, str(folder)
    trainer.loggers = [DummyLogger()] if trainer.loggers else []
    return trainer, partial(trainer.fit, module, *data, ckpt_path=resume.ckpt_path)


def shorten(trainer: Trainer) -> None:
    """Let epochs and evaluations have a few batches."""
    most = 2 * STEPS * trainer.accumulate_grad_batches
    for limit in ("limit_train_batches", "limit_val_batches"):
        batches = getattr(trainer, limit)
        setattr(trainer, limit, min(batches, most) if isinstance(batches, int) or not batches else most)
    interval = getattr(trainer, "val_check_interval", 1.0)  # there is none where it is a time
    if isinstance(interval, int):
        trainer.val_check_interval = min(interval, most // 2)
    elif interval < 1:
        trainer.val_check_interval = 0.5


if __name__ == "__main__":
    end(status_of(main, sys.argv[1:]))

"""One training of a check, in a process of its own: ``python -m exact_resume.check.part
ROOT/NAME``.

``ROOT/make`` holds the function that makes the training. What it writes stays in its
folder, finally a record of its states for each of its processes. ``ROOT/whole`` is the
folder of the training that goes on, ``ROOT/again`` that of the same once more;
``ROOT/within``, ``end`` and ``later`` are copies of the first, from soon after it saved
there, in which a training resumes.
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
from runpy import run_path
from types import ModuleType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.loggers.logger import DummyLogger

from exact_resume.agreement import end_process_group
from exact_resume.callback import ExactResume
from exact_resume.digest import digest
from exact_resume.errors import ResumeError
from exact_resume.training import callbacks_of

# A Trainer, and the function that starts its training or resumes it.
Training = tuple[Trainer, Callable[[], None]]

# Each epoch is cut to twice this many optimizer steps; the check saves after at most
# this many.
STEPS = 5

# Begins the line that is printed for an error that a user can fix.
PREFIX = "part.py: "


class Ended(Exception):  # noqa: N818  # not an error
    """The training has done its steps."""


class Recorder(Callback):
    """Records the state of a training before each step of two epochs, as a digest of
    each of its parts, and ends it then; the whole training saves and copies checkpoints
    on its way.

    Args:
        folder: The folder of the training; its name says whether that is resumed.
        trainer: The Trainer of the training.
        resume: The ExactResume whose keepers name the parts of the state.
    """

    keeps_own_state = True

    def __init__(self, folder: Path, trainer: Trainer, resume: ExactResume) -> None:
        self.folder, self.trainer, self.resume = folder, trainer, resume
        self.is_whole = folder.name in ("whole", "again")
        self.states: list[tuple[int, dict[str, str]]] = []
        self.reason = ""  # why a checkpoint is missing
        # After how many batches of an epoch to save within it; None for no such save.
        self.batches: int | None = None
        self.place = ""  # the name of the copy of the folder that is due; empty for none

    def on_train_epoch_start(self, *_: Any) -> None:
        if self.is_whole and self.trainer.current_epoch == 1:
            self.place = "end"
            self._copy()
        if self.trainer.current_epoch == 2:
            self._end()
            self.trainer.strategy.barrier()
            raise Ended

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # The folder is copied one batch late, so that it also has what other callbacks wrote
        # after the save, which a resume must do without.
        self._copy()
        if batch_idx == 0 and self.is_whole:
            self._plan()
        if batch_idx == self.batches:
            self.place = "later" if trainer.current_epoch else "within"
        self._record(batch)

    def on_train_batch_end(self, *_: Any) -> None:
        self._save_within("on_train_batch_end")

    def on_validation_end(self, *_: Any) -> None:
        self._save_within("on_validation_end")

    def on_train_epoch_end(self, *_: Any) -> None:
        self._copy()

    def on_train_end(self, *_: Any) -> None:
        self.reason = self.reason or "The run ends too early"
        self._end()

    def _plan(self) -> None:
        """Decide after which batch to save within this epoch: each epoch may accumulate gradients
        over another number of batches.
        """
        accumulated = self.trainer.accumulate_grad_batches
        steps = min(STEPS, int(self.trainer.num_training_batches // accumulated // 2))
        if not steps:
            self.reason = self.reason or "An epoch has too few steps"
        self.batches = None if self.reason else accumulated * steps

    def _save_within(self, hook: str) -> None:
        """Save after the planned batch, as after a signal, but let the training go on."""
        if self.trainer.fit_loop.batch_idx + 1 == self.batches:
            self.resume.save_within_epoch(hook)

    def _copy(self) -> None:
        """Copy the folder if a copy is due."""
        if self.place and self.folder.name == "whole" and self.trainer.is_global_zero:
            shutil.copytree(self.folder, self.folder.with_name(self.place))
        self.place = ""

    def _record(self, batch: Any = None) -> None:
        """Record digests of what decides the next steps, by kind and name, of the batch to
        come, and of what was logged.
        """
        trainer, parts = self.trainer, {"batch": batch}
        for keeper in self.resume.keepers:
            parts |= keeper.parts()
        checkpoints = callbacks_of(trainer, ModelCheckpoint) if trainer.is_global_zero else []
        kinds = {
            "schedule": enumerate(config.scheduler for config in trainer.lr_scheduler_configs),
            "weight": trainer.lightning_module.state_dict().items(),
            "optimizer": enumerate(trainer.optimizers),
            # All but the last, which is ExactResume.
            "checkpoints": enumerate(map(self._files_of, checkpoints[:-1])),
        }
        for kind, named in kinds.items():
            parts |= {f"{kind} {name}": part for name, part in named}
        done = trainer.fit_loop.total_batch_idx + (batch is None)
        self.states.append((done, {name: digest(part) for name, part in parts.items()}))

    def _files_of(self, checkpoint: ModelCheckpoint) -> list[Any]:
        """The names of the files that a ModelCheckpoint has left, and what it knows of them:
        the best and the last, and the score of each.
        """
        folder = Path(str(checkpoint.dirpath))
        files = {path.name for path in folder.glob("*")} - {self.resume.epoch_end.path.name}
        known = [checkpoint.best_model_path, checkpoint.last_model_path]
        scores = {Path(path).name: float(score) for path, score in checkpoint.best_k_models.items()}
        return [sorted(files), [Path(path).name for path in known], scores]

    def _end(self) -> None:
        """Record the last state, and write the record to the folder."""
        self._record()
        record = {"states": self.states, "reason": self.reason}
        path = self.folder / f"record_{self.trainer.global_rank}.json"
        path.write_text(json.dumps(record))


def main(folder: Path) -> None:
    """Train in a folder, or resume what has begun there."""
    make = pickle.loads((folder.parent / "make").read_bytes())
    trainer, train = make(folder)
    (resume,) = callbacks_of(trainer, ExactResume)
    keep_checkpoints_in(folder, trainer)
    trainer.callbacks.insert(0, Recorder(folder, trainer, resume))
    shorten(trainer)
    atexit.register(end_process_group)
    with suppress(Ended):
        train()


def training_of_trainer(
    make: Callable[[], Sequence[Any]], weights_only: bool | None, folder: Path
) -> Training:
    """The training of a user's own Trainer. Its ExactResume, or one that is added, has its
    checkpoint in the folder.
    """
    trainer, module, *data = make()
    if not callbacks_of(trainer, ExactResume):
        trainer.callbacks.append(ExactResume("last.ckpt"))
    (resume,) = callbacks_of(trainer, ExactResume)
    resume.path = folder / resume.path.name
    resume.dirpath = str(folder)
    trainer.loggers = [DummyLogger()] if trainer.loggers else []
    options = {"ckpt_path": resume.ckpt_path, "weights_only": weights_only}
    return trainer, partial(trainer.fit, module, *data, **options)


def call_of_script(path: str, name: str) -> Any:
    """Call a function of a script, without what the script does under
    ``if __name__ == "__main__"``, and return its result.
    """
    # The script gets the name that multiprocessing would give it, so that its classes can be
    # pickled.
    script = ModuleType("__mp_main__")
    vars(script).update(run_path(path, run_name=script.__name__))
    sys.modules[script.__name__] = script
    return getattr(script, name)()


def keep_checkpoints_in(folder: Path, trainer: Trainer) -> None:
    """Let all checkpoints of a training be written to its folder."""
    for number, callback in enumerate(callbacks_of(trainer, Checkpoint)):
        path = Path(getattr(callback, "dirpath", "") or "")
        if not path.resolve().is_relative_to(folder.resolve()):
            callback.dirpath = str(folder / f"own_{number}")


def shorten(trainer: Trainer) -> None:
    """Let epochs and evaluations have a few batches."""
    most = 2 * STEPS * trainer.accumulate_grad_batches
    for limit in ("limit_train_batches", "limit_val_batches"):
        batches = getattr(trainer, limit)
        is_number = isinstance(batches, int) or not batches
        setattr(trainer, limit, min(batches, most) if is_number else most)
    # A Trainer whose interval is a time does not have the attribute.
    interval = getattr(trainer, "val_check_interval", 1.0)
    if isinstance(interval, int):
        trainer.val_check_interval = min(interval, most // 2)
    elif interval < 1:
        trainer.val_check_interval = 0.5


if __name__ == "__main__":
    # Imported by its name in the package: a Recorder of `__main__` would count as a user's class.
    from exact_resume.check import part

    try:
        part.main(Path(sys.argv[1]))
    except ResumeError as error:
        # The text of the error is empty in all processes but one.
        sys.exit(f"{PREFIX}{error}" if str(error) else 1)

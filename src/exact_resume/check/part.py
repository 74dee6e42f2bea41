"""One training of a check, in a process of its own: ``python -m exact_resume.check.part
ROOT/NAME``.

``ROOT/make`` holds the function that makes the training. What it writes stays in its
folder, at last a record of its states for each of its processes. ``ROOT/whole`` is the
folder of the training that goes on; ``ROOT/within``, ``end`` and ``later`` are copies
of it, from when its checkpoint was new there, in which a training resumes.
"""

import atexit
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers.logger import DummyLogger

from exact_resume.agreement import end_process_group
from exact_resume.callback import ExactResume
from exact_resume.check.record import STEPS, Ended, Recorder
from exact_resume.errors import ResumeError
from exact_resume.training import callbacks_of

# A Trainer, and what starts its training, or resumes it.
Training = tuple[Trainer, Callable[[], None]]

# Before the line of an error that a user can mend.
PREFIX = "part.py: "


def main(folder: Path) -> None:
    """Train in a folder, or resume what has begun there."""
    with (folder.parent / "make").open("rb") as file:
        trainer, train = pickle.load(file)(folder)
    (resume,) = callbacks_of(trainer, ExactResume)
    keep_checkpoints_in(folder, trainer)
    trainer.callbacks.insert(0, Recorder(folder, resume))
    shorten(trainer)
    atexit.register(end_process_group)
    with suppress(Ended):
        train()


def training_of_trainer(make: Callable[[], Sequence[Any]], folder: Path) -> Training:
    """The training of somebody's own Trainer, with its ExactResume or one more, whose
    checkpoint is in the folder.
    """
    trainer, module, *data = make()
    if not callbacks_of(trainer, ExactResume):
        trainer.callbacks.append(ExactResume("last.ckpt"))
    (resume,) = callbacks_of(trainer, ExactResume)
    resume.path = folder / resume.path.name
    resume.dirpath = str(folder)
    trainer.loggers = [DummyLogger()] if trainer.loggers else []
    return trainer, partial(trainer.fit, module, *data, ckpt_path=resume.ckpt_path)


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
    interval = getattr(trainer, "val_check_interval", 1.0)  # there is none where it is a time
    if isinstance(interval, int):
        trainer.val_check_interval = min(interval, most // 2)
    elif interval < 1:
        trainer.val_check_interval = 0.5


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except ResumeError as error:
        if str(error):  # empty in all processes but one
            print(f"{PREFIX}{error}", file=sys.stderr)
        sys.exit(error.exit_status)

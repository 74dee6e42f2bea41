"""One training of a check, in a process of its own: ``python -m convblocks.check.part
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

from convblocks.check.state import STEPS, Ended, Recorder
from convblocks.console import end, status_of
from convblocks.model.distributed import end_process_group
from convblocks.run.config import Config
from convblocks.run.quiet import quiet_lightning
from convblocks.run.resume import ExactResume, callbacks_of
from convblocks.run.run import Run

# A Trainer, and what starts its training, or resumes it.
Training = tuple[Trainer, Callable[[], None]]


def main(arguments: list[str]) -> None:
    """Train in a folder, or resume what has begun there."""
    folder = Path(arguments[0])
    quiet_lightning()
    with (folder.parent / "make").open("rb") as file:
        trainer, train = pickle.load(file)(folder)
    for number, callback in enumerate(
        callbacks_of(trainer, Checkpoint)
    ):  # all write into the folder
        path = getattr(callback, "dirpath", "")
        if not Path(path or "").resolve().is_relative_to(folder.resolve()):
            callback.dirpath = str(folder / f"own_{number}")
    trainer.callbacks.insert(0, Recorder(folder))
    shorten(trainer)
    atexit.register(end_process_group)
    with suppress(Ended):
        train()


def training_of_run(options: Sequence[str], folder: Path) -> Training:
    """The training of a command line of fit, whose run directory is in the folder."""
    run = Run(
        Config.parse(
            [*options, "--name", "run", "--trainer.default_root_dir", str(folder), "--resume"]
        )
    )
    run.prepare()
    if run.is_rank_zero:
        run.directory.create()

    def train() -> None:
        run.start()
        run.trainer.loggers = [DummyLogger()]  # some callbacks want one
        run.train()

    return run.trainer, train


def training_of_trainer(make: Callable[[], Sequence[Any]], folder: Path) -> Training:
    """The training of somebody's own Trainer, with its ExactResume or one more, whose
    checkpoint is in the folder.
    """
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
        setattr(
            trainer, limit, min(batches, most) if isinstance(batches, int) or not batches else most
        )
    interval = getattr(trainer, "val_check_interval", 1.0)  # there is none where it is a time
    if isinstance(interval, int):
        trainer.val_check_interval = min(interval, most // 2)
    elif interval < 1:
        trainer.val_check_interval = 0.5


if __name__ == "__main__":
    end(status_of(main, sys.argv[1:]))

"""What a check trains: the run of a command line of fit, or somebody's own Trainer."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers.logger import DummyLogger

from convblocks.run.config import Config
from convblocks.run.resume import ExactResume, callbacks_of
from convblocks.run.run import Run

# What a caller's function returns: a Trainer, a module and the data.
Parts = Sequence[Any]


class Training(NamedTuple):
    """A Trainer, and what starts its training, or resumes it."""

    trainer: Trainer
    fit: Callable[[], None]


def of_run(arguments: Sequence[str], folder: Path) -> Training:
    """The training of a command line of fit, whose run directory is in the folder; it resumes if it has begun."""
    run = Run(Config.parse([*arguments, "--name", "run", "--trainer.default_root_dir", str(folder), "--resume"]))
    run.prepare()
    if run.is_rank_zero:
        run.directory.create()
    _keep_apart(run.trainer, folder)

    def fit() -> None:
        run.start()
        run.trainer.loggers = [DummyLogger()]  # some callbacks want one
        run.train()

    return Training(run.trainer, fit)


def of_trainer(make: Callable[[], Parts], folder: Path) -> Training:
    """The training of somebody's own Trainer, with its ExactResume or one more, whose checkpoint is in the folder."""
    trainer, module, *data = make()
    found = callbacks_of(trainer, ExactResume)
    (resume, *_) = found or [ExactResume("last.ckpt")]
    resume.path, resume.dirpath = folder / resume.path.name, str(folder)
    if not found:
        trainer.callbacks.append(resume)
    trainer.loggers = [DummyLogger()] if trainer.loggers else []
    _keep_apart(trainer, folder)
    loaders = {"datamodule": data[0]} if data and isinstance(data[0], LightningDataModule) else {}
    return Training(
        trainer, partial(trainer.fit, module, *([] if loaders else data), **loaders, ckpt_path=resume.ckpt_path)
    )


def _keep_apart(trainer: Trainer, folder: Path) -> None:
    """Let other callbacks keep their checkpoints in the folder too."""
    for number, callback in enumerate(callbacks_of(trainer, Checkpoint)):
        path = getattr(callback, "dirpath", "")
        if not Path(path or "").resolve().is_relative_to(folder.resolve()):
            callback.dirpath = str(folder / f"own_{number}")

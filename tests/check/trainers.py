"""Trainings of plain Trainers, for ``check_resume``."""

from typing import Any

from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from convblocks import ExactResume
from tests.any_task.kinds import Kind, Plain


def exact() -> tuple[Any, ...]:
    return _training(
        Plain,
        callbacks=[ExactResume("own/state.ckpt"), LearningRateMonitor(), ModelCheckpoint("kept")],
        logger=CSVLogger("logs"),
    )


def failing() -> tuple[Any, ...]:
    return _training(Plain, max_steps=-2)


def _training(module: type[LightningModule], **settings: Any) -> tuple[Any, ...]:
    seed_everything(0, verbose=False)
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    data, trainer = Kind(), Trainer(max_epochs=5, accelerator="cpu", **(quiet | settings))
    return trainer, module(), data.train_dataloader(), data.val_dataloader()

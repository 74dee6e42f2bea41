"""A training of a plain Trainer, for ``check_resume``."""

from typing import Any

from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from convblocks import ExactResume
from tests.any_task.kinds import Kind, Plain


def exact() -> tuple[Any, ...]:
    seed_everything(0, verbose=False)
    callbacks = [ExactResume("own/state.ckpt"), LearningRateMonitor(), ModelCheckpoint("kept")]
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(max_epochs=5, accelerator="cpu", callbacks=callbacks, logger=CSVLogger("logs"), **quiet)
    data = Kind()
    return trainer, Plain(), data.train_dataloader(), data.val_dataloader()

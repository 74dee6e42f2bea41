"""Callbacks of every run: its settings and its best checkpoint."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from convblocks.errors import UsageError
from convblocks.runs.judge import Judge
from convblocks.training.parser import Settings


class BestCheckpoint(ModelCheckpoint):
    """The checkpoint of the best evaluation; a subclass, to keep its state apart from a user's ModelCheckpoint."""

    def __init__(self, path: Path, judge: Judge) -> None:
        super().__init__(
            path.parent,
            path.stem,
            monitor=judge.metric,
            mode=judge.direction,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and self.monitor not in trainer.callback_metrics:
            logged = ", ".join(trainer.callback_metrics) or "nothing"
            who = f"{type(pl_module).__name__} logs no {self.monitor} when it is evaluated, but {logged}"
            raise UsageError(f"{who}: correct --judge, with another --name")
        super().on_validation_end(trainer, pl_module)


class RunSettings(Callback):
    """Keeps the settings in every checkpoint: a resume recognises that of another run, or an edited config."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def state_dict(self) -> dict[str, Any]:
        return self.settings

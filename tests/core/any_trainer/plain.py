"""Shared by these tests: an ordinary Trainer, and a callback that watches it."""

from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor


def trainer(folder: Path, **settings: Any) -> Trainer:
    """Lightning's Trainer for two short epochs, quiet and on CPU, otherwise with its defaults."""
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    short = {"limit_train_batches": 20, "limit_val_batches": 2, "max_epochs": 2, "log_every_n_steps": 5}
    return Trainer(default_root_dir=folder, **(quiet | short | settings))


class Watch(Callback):
    """Records the content of each training batch, and the step and number of batches of each evaluation."""

    def __init__(self) -> None:
        self.epochs: list[list[Tensor]] = []
        self.evaluations: list[int] = []
        self.evaluated = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs.append([])

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        images, _ = arguments[1]
        self.epochs[-1].append(images.sum(dim=(1, 2, 3)))

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        self.evaluated += 1

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.evaluations.append(trainer.global_step)

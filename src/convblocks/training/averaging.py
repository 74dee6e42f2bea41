"""Mends Lightning's weight averaging with a delayed start."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging


class _FollowUntilStart(Callback):
    """Copies the weights to an average that has not started, before Lightning evaluates, saves or keeps it."""

    def __init__(self, averaging: WeightAveraging) -> None:
        self.averaging = averaging

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        average = self.averaging._average_model
        if average is not None and average.n_averaged == 0:
            average.update_parameters(pl_module)  # a first update only copies
            average.n_averaged.zero_()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.on_validation_epoch_start(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_validation_epoch_start(trainer, pl_module)


def follow_until_averaging_starts(trainer: Trainer) -> None:
    """Let EMAWeightAveraging use the trained weights before its start; its average then still holds the untrained ones.

    Lightning evaluates and saves those, and ends with them if the start is never reached (pytorch-lightning's issue
    21724).
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it at run time
    averagings = [callback for callback in callbacks if isinstance(callback, WeightAveraging)]
    callbacks[:0] = map(_FollowUntilStart, averagings)  # in front: before the averaging's own hooks

"""Fixes Lightning's WeightAveraging where its start is delayed."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging


class _FollowUntilStart(Callback):
    """Copies the weights to an average that has not started, before Lightning evaluates, saves or keeps it."""

    def __init__(self, averaging: WeightAveraging) -> None:
        self.averaging = averaging

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._follow(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._follow(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._follow(pl_module)

    def _follow(self, module: LightningModule) -> None:
        average = self.averaging._average_model
        if average is not None and average.n_averaged == 0:
            average.update_parameters(module)  # a first update only copies
            average.n_averaged.zero_()


def follow_until_averaging_starts(trainer: Trainer) -> None:
    """Let weight averaging use the trained weights until it starts.

    Until then its average holds the untrained weights, which Lightning would evaluate and save, and keep if it never
    starts (pytorch-lightning's issue 21724).
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it at run time
    averagings = [callback for callback in callbacks if isinstance(callback, WeightAveraging)]
    callbacks[:0] = map(_FollowUntilStart, averagings)  # in front: before the averaging's own hooks

"""The progress of a trial, told to the process that runs the trials."""

from ctypes import c_double
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.run.progress import batches_of


class SharedProgress(Callback):
    """Tells the process that runs trials how much of this one is done: the share of the batches that it began with.

    Args:
        share: In memory that both processes see.
    """

    def __init__(self, share: c_double) -> None:
        self._share = share
        self._done_before = 0
        self._left: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._done_before = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        if (total := batches_of(trainer)) is not None:
            self._left = max(total - self._done_before, 1)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._left is not None:
            done = trainer.fit_loop.epoch_loop.total_batch_idx + 1
            self._share.value = (done - self._done_before) / self._left

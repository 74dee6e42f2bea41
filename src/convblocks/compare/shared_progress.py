"""The progress of a trial, told to the process that runs the trials."""

import math
from ctypes import c_double
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


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
        self._done_before = batches_done(trainer)
        if (total := batches_of(trainer)) is not None:
            self._left = max(total - self._done_before, 1)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._left is not None:
            done = batches_done(trainer)
            self._share.value = (done - self._done_before) / self._left


def batches_done(trainer: Trainer) -> int:
    """The number of training batches so far, also before a resume."""
    return trainer.fit_loop.epoch_loop.total_batch_idx + 1


def batches_of(trainer: Trainer) -> float | None:
    """The number of batches of the whole run; None if only a time limit or a callback ends it."""
    limits: list[float] = []
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        limits.append(trainer.max_epochs * trainer.num_training_batches)
    if trainer.max_steps > 0:
        limits.append(trainer.max_steps * trainer.accumulate_grad_batches)
    total = min(limits, default=math.inf)
    return total if math.isfinite(total) else None

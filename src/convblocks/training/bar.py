"""The progress of a run: a bar that is removed when training ends, and a number for the process that runs trials."""

import math
import time
from ctypes import c_double
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ProgressBar
from rich.live import Live

from convblocks.tables import bar, terminal
from convblocks.training.printed_rows import epoch_label

# Between two updates.
SECONDS = 0.25


class Bar(ProgressBar):
    """Shows the epoch, the progress of the whole run, the loss of the last batch, and the time left."""

    def __init__(self) -> None:
        super().__init__()
        self._is_enabled = True
        self._live: Live | None = None
        self._start = self._shown = 0.0
        self._done_before = 0  # batches before a resume

    def enable(self) -> None:
        self._is_enabled = True

    def disable(self) -> None:
        self._is_enabled = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._is_enabled:
            self._start = time.monotonic()
            self._done_before = trainer.fit_loop.epoch_loop.total_batch_idx + 1
            self._live = Live(console=terminal(), transient=True, auto_refresh=False)
            self._live.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if self._live is None or now - self._shown < SECONDS:
            return
        self._shown = now
        done = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        pace = (now - self._start) / max(done - self._done_before, 1)
        # A user's own training_step may return nothing, to skip a step or to optimize manually.
        note = f"loss {outputs['loss']:.4f}" if outputs and "loss" in outputs else ""
        epoch = epoch_label(trainer.current_epoch + 1, trainer.max_epochs)
        self._live.update(bar(epoch, done, batches_of(trainer), note, pace), refresh=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._remove()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._remove()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._remove()

    def _remove(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


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


def batches_of(trainer: Trainer) -> float | None:
    """The number of batches of the whole run; None if only a time limit or a callback ends it."""
    limits: list[float] = []
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        limits.append(trainer.max_epochs * trainer.num_training_batches)
    if trainer.max_steps > 0:
        limits.append(trainer.max_steps * trainer.accumulate_grad_batches)
    total = min(limits, default=math.inf)
    return total if math.isfinite(total) else None

"""Stops a run within an epoch."""

import signal
from typing import Any

from lightning import Callback, LightningModule, Trainer

from convblocks.run import signals


def forget_signal() -> None:
    """Let a run go on in a process that has received one."""
    signals._received = 0


class Signal(Callback):
    """Sends SIGTERM to this process after a batch."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batches:
            signal.raise_signal(signal.SIGTERM)

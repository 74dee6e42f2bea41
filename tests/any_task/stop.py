"""Stops or kills a run within an epoch."""

import os
import signal
from typing import Any

from lightning import Callback, LightningModule, Trainer

from exact_resume import signals


def forget_signal() -> None:
    """Let a run go on in a process that has received one."""
    signals._received = 0


class Signal(Callback):
    """Sends a signal to the last process after a batch."""

    def __init__(self, batches: int, number: int = int(signal.SIGTERM)) -> None:
        self.batches, self.number = batches, number

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        is_last = trainer.global_rank == trainer.world_size - 1
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batches and is_last:
            os.kill(os.getpid(), self.number)

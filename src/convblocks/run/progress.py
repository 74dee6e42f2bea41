"""What is shown on a terminal: the bar of a run, and results."""

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from rich.console import Console

# Between two updates.
SECONDS = 0.25


class Bar(TQDMProgressBar):
    """Lightning's bar of an epoch, updated by time, not by batches, and removed when training ends."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = 0.0

    def init_train_tqdm(self) -> Tqdm:
        bar = super().init_train_tqdm()
        bar.leave = False
        return bar

    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True)

    init_sanity_tqdm = init_test_tqdm = init_validation_tqdm

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        if time.monotonic() - self._shown > SECONDS:
            self._shown = time.monotonic()
            super().on_train_batch_end(trainer, *arguments)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}  # the end of the run's name


def terminal() -> Console:
    """The console on which results are printed, without markup: ``[red]`` in a file name is text."""
    return Console(markup=False, emoji=False, highlight=False)

"""What is shown on a terminal: the bar of a run, which is removed when training ends, other bars and light tables."""

import math
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar as RichBar
from rich.table import Table

from convblocks.run.printed_rows import epoch_label
from convblocks.text import duration

# Between two updates.
SECONDS = 0.25

# With a label, a share, a note and a time a bar of this width fits into 80 columns.
BAR_WIDTH = 28


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


def batches_of(trainer: Trainer) -> float | None:
    """The number of batches of the whole run; None if only a time limit or a callback ends it."""
    limits: list[float] = []
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        limits.append(trainer.max_epochs * trainer.num_training_batches)
    if trainer.max_steps > 0:
        limits.append(trainer.max_steps * trainer.accumulate_grad_batches)
    total = min(limits, default=math.inf)
    return total if math.isfinite(total) else None


def terminal() -> Console:
    """The console on which results are printed, without markup: ``[red]`` in a file name is text."""
    return Console(markup=False, emoji=False, highlight=False)


def light_table(*columns: str, **options: Any) -> Table:
    """An empty table for a terminal: no lines but one below the heading."""
    return Table(*columns, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, **options)


def bar(label: str, done: float, total: float | None, note: str = "", pace: float = 0.0) -> Table:
    """One line of a live display: a bar, how much is done, and how long the rest takes at the pace so far.

    Args:
        label: The text before the bar.
        done: How much is done, of a total.
        total: None if the end is unknown.
        note: The text behind the share.
        pace: The seconds that an amount of 1 takes; 0 if unknown.
    """
    grid = Table.grid(padding=(0, 2))
    share = f"{100 * done / total:3.0f} %" if total else ""
    left = f"{duration(max(pace * (total - done), 1))} left" if total and pace and done < total else ""
    grid.add_row(label, RichBar(total, done, BAR_WIDTH, pulse=total is None), share, note, left)
    return grid

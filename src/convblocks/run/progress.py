"""How far a run is: on a terminal one line below all others, elsewhere, as in the log
file of a cluster, a line now and then.
"""

import math
import sys
import time
from shutil import get_terminal_size
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, Timer
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from convblocks.console import echo
from convblocks.run.callbacks import losses_of
from convblocks.run.metrics_log import without_split
from exact_resume.training import callbacks_of

# Seconds between two drawings, and without any line where nothing is drawn.
LIVE, ELSEWHERE = 0.2, 30.0

# The columns of the bar itself at least: what does not fit beside it is left out.
BAR = 8


class RunProgress(ProgressBar):
    """Shows the epoch, how much of the run is done, the time left of all of it, by the
    pace of this process, the loss of the last batch, the optimizer's steps a second, and
    metrics logged with ``prog_bar=True``.

    The device is waited for only when this is shown.

    Args:
        is_live: Whether it is drawn again and again, as on a terminal or in a notebook.
    """

    keeps_own_state = True

    def __init__(self, is_live: bool = True) -> None:
        super().__init__()
        self.is_enabled = True
        self._interval = LIVE if is_live else ELSEWHERE
        self._due = 0.0
        self._bar: Any = None
        # Time, batches and global_step after the first batch of this process.
        self._began: tuple[float, int, int] | None = None
        self._batches = math.inf  # of the last epoch

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self.enable()
        self._wait()

    def enable(self) -> None:
        """Show it in process 0, unless the module brings a bar of its own."""
        bars = callbacks_of(self.trainer, ProgressBar)
        self.is_enabled = self.trainer.is_global_zero and bars == [self]

    def disable(self) -> None:
        self.is_enabled = False

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        with Tqdm.external_write_mode():
            super().print(*args, **{"flush": True} | kwargs)
        self._wait()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = None
        if self.is_enabled and self._interval == LIVE:
            self._show(0.0)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = trainer.fit_loop.total_batch_idx + 1
        if self._began is None:  # the first batch waits for what begins with it
            self._began = time.monotonic(), done, trainer.global_step
        elif self._is_due():
            began, batches, _ = self._began
            speed = (done - batches) / (time.monotonic() - began) / trainer.accumulate_grad_batches
            first, *others = _losses_and_metrics(trainer, outputs) or [""]
            place = _place(batch_idx, trainer.num_training_batches)
            self._show(0.0, first, f"{speed:.{1 if speed >= 10 else 2}f} steps/s", place, *others)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._batches = trainer.fit_loop.batch_idx + 1

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._is_due():
            stage: Any = trainer.state.stage
            prefix = "sanity_val" if trainer.sanity_checking else stage.dataloader_prefix
            batches = getattr(trainer, f"num_{prefix}_batches")[dataloader_idx]
            place = _place(batch_idx, batches)
            name = stage.value.replace("_", " ")
            self._show((batch_idx + 1) / batches, f"{name} {place}")

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def teardown(self, *_: Any, **__: Any) -> None:
        if self._bar:
            self._bar.close()
            self._bar = None

    on_exception = teardown

    def _is_due(self) -> bool:
        return self.is_enabled and time.monotonic() >= self._due

    def _wait(self) -> None:
        self._due = time.monotonic() + self._interval

    def _show(self, share: float, *texts: str) -> None:
        """Show texts beside the share that is done: while fit runs, of the whole run."""
        trainer, fields = self.trainer, [*filter(None, texts)]
        if trainer.state.fn == "fit":
            share, left = self._estimate()
            if left < math.inf:
                fields.insert(0, f"{Tqdm.format_interval(left)} left")
            limit = f"/{trainer.max_epochs}" if _is_limit(trainer.max_epochs) else ""
            fields.insert(0, f"epoch {trainer.current_epoch + 1}{limit}")
        if self._interval == LIVE:
            self._draw(share, fields)
        else:
            echo(", ".join(fields))
        self._wait()

    def _estimate(self) -> tuple[float, float]:
        """The share of the run that is done, and the seconds until it reaches the first
        of its limits, infinite where that is unknown.
        """
        trainer, loop = self.trainer, self.trainer.fit_loop
        if self._began is None:
            return 0.0, math.inf
        began, batches, steps = self._began
        passed = max(1e-9, time.monotonic() - began)
        done = loop.total_batch_idx + 1
        pace = passed / max(1, done - batches)
        limits = [timer.time_remaining() for timer in callbacks_of(trainer, Timer)]
        if _is_limit(trainer.max_steps):
            steps_left = trainer.max_steps - trainer.global_step
            limits.append(steps_left * passed / max(1, trainer.global_step - steps))
        if _is_limit(trainer.max_epochs):
            length = trainer.num_training_batches
            if length == math.inf:
                length = self._batches
            batches_left = (
                (trainer.max_epochs - trainer.current_epoch) * length - loop.batch_idx - 1
            )
            limits.append(batches_left * pace)
        left = max(0.0, min((limit for limit in limits if limit is not None), default=math.inf))
        return done * pace / (done * pace + left), left

    def _draw(self, share: float, fields: list[str]) -> None:
        # Some terminals would wrap a full line.
        columns = get_terminal_size().columns - 1
        while len(fields) > 1 and len(", ".join(fields)) > columns - BAR:
            fields.pop()
        first, *others = [text.replace("{", "{{").replace("}", "}}") for text in fields]
        shape = {"ncols": columns, "bar_format": f"{first} |{{bar}}| {', '.join(others)}"}
        if not self._bar:
            self._bar = Tqdm(total=1, file=sys.stdout, leave=False, **shape)
        vars(self._bar).update(shape, n=share)
        self._bar.refresh()


def _is_limit(most: int | None) -> bool:
    return most not in (None, -1)


def _place(batch_idx: int, batches: float) -> str:
    return f"batch {batch_idx + 1}" + (f"/{batches}" if batches < math.inf else "")


def _losses_and_metrics(trainer: Trainer, outputs: Any) -> list[str]:
    """The loss of a batch, and what the module logs for the progress bar, but for the
    means of epochs, and other losses.
    """
    shown = {}
    for loss in losses_of(outputs):
        # Lightning has divided it.
        shown["loss"] = f"loss {float(loss) * trainer.accumulate_grad_batches:.4f}"
    for name, value in trainer.progress_bar_metrics.items():
        if not name.endswith("_epoch"):
            short = name.removesuffix("_step")
            shown.setdefault(without_split(short), f"{short} {value:.4f}")
    return [*shown.values()]

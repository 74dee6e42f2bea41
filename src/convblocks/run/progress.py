"""Shows how far a run is: on a terminal in one line below all others; elsewhere, such as in
the log file of a cluster, by a line now and then.
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
from exact_resume.training import callbacks_of

# The seconds between two drawings of the live line, and between two lines elsewhere.
LIVE, ELSEWHERE = 0.2, 30.0

# The least width of the bar itself, in characters: words that do not fit beside it are left out.
BAR = 10


class RunProgress(ProgressBar):
    """Shows the epoch, the time left of the whole run, by the pace of this process, the
    loss of the last batch, the optimizer's steps a second, and how much of the run is
    done. The device is waited for only when this is shown.

    Args:
        is_live: Whether it is drawn again and again, as on a terminal or in a notebook.
    """

    keeps_own_state = True
    is_enabled = True  # LightningModule.print asks

    def __init__(self, is_live: bool = True) -> None:
        super().__init__()
        self._interval = LIVE if is_live else ELSEWHERE
        self._due = 0.0 if is_live else time.perf_counter() + ELSEWHERE
        self._bar: Any = None
        # Time and share of the run after the first batch of this process; time and
        # batches after the first one since an evaluation.
        self._began: tuple[float, float] | None = None
        self._trains: tuple[float, int] | None = None

    def disable(self) -> None:
        """Show nothing, as in all processes but one."""
        self._due = math.inf

    def enable(self) -> None:
        self._due = 0.0 if self.trainer.is_global_zero else math.inf

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        with Tqdm.external_write_mode():
            super().print(*args, **{"flush": True} | kwargs)

    def on_train_start(self, *_: Any) -> None:
        self._began = self._trains = None
        if time.perf_counter() >= self._due:
            self._show()

    def on_train_batch_end(self, *args: Any) -> None:
        now = time.perf_counter()
        if self._trains and now < self._due:
            return
        trainer = self.trainer
        batches = trainer.fit_loop.total_batch_idx + 1
        if not self._trains:  # the first batch takes longer than others, so it does not count
            self._trains = now, batches
            self._began = self._began or (now, self._share())
            return
        began, before = self._trains
        accumulated = trainer.accumulate_grad_batches
        speed = (batches - before) / (now - began) / accumulated
        # Lightning has divided the loss by the number of batches that accumulate.
        losses = [f"loss {float(loss) * accumulated:.4f}" for loss in losses_of(args[2])]
        others = [
            f"{name} {value:.4f}"
            for name, value in trainer.progress_bar_metrics.items()
            if not (losses and "loss" in name)
        ]
        place = f"batch {args[4] + 1}/{trainer.num_training_batches}"
        self._show(*losses, f"{speed:.2f} steps/s", place, *others)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._trains = None
        if time.perf_counter() >= self._due:
            stage: Any = trainer.state.stage
            prefix = "sanity_val" if trainer.sanity_checking else stage.dataloader_prefix
            batches = getattr(trainer, f"num_{prefix}_batches")[dataloader_idx]
            name = {"val": "validation", "sanity_val": "sanity check"}.get(prefix, prefix)
            done = batch_idx + 1
            self._show(f"{name} batch {done}/{batches}", share=done / batches)

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def teardown(self, *_: Any, **__: Any) -> None:
        if self._bar:
            self._bar.close()
            self._bar = None

    on_exception = teardown

    def _share(self) -> float:
        """The share of the run that is done, in 0..1, by the limit that it will reach first; 0
        where that is unknown.
        """
        trainer, loop = self.trainer, self.trainer.fit_loop
        epoch, batches = trainer.current_epoch, loop.batch_idx + 1
        length = trainer.num_training_batches
        if length == math.inf and epoch:  # unknown: taken to be as long as the epochs before
            length = (loop.total_batch_idx + 1 - batches) / epoch
        # Lightning's -1 for no limit gives a share below 0, which is not the largest.
        shares = [(epoch + batches / length) / (trainer.max_epochs or -1)]
        shares.append(trainer.global_step / trainer.max_steps)
        for timer in callbacks_of(trainer, Timer):
            passed, left = timer.time_elapsed(), timer.time_remaining()
            if left is not None:
                shares.append(passed / (passed + max(left, 0)))
        return min(1.0, max(0.0, *shares))

    def _show(self, *texts: str, share: float = 0) -> None:
        """Show texts beside the share that is done. While ``fit`` runs, that is the share of the
        run, and the epoch and the time left are added.
        """
        trainer, now = self.trainer, time.perf_counter()
        self._due = now + self._interval
        fields = [*texts]
        if trainer.state.fn == "fit":
            began, before = self._began or (now, 0)
            share = self._share() if self._began else 0
            if share > before:
                left = (now - began) * (1 - share) / (share - before)
                fields.insert(0, f"{Tqdm.format_interval(left)} left")
            fields.insert(0, f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")
        # An unknown length, or no limit, is not shown.
        fields = [field.removesuffix("/inf").removesuffix("/-1") for field in fields]
        if self._interval == ELSEWHERE:
            echo(", ".join(fields))
            return
        columns = get_terminal_size().columns
        while fields and len(", ".join(fields)) > columns - BAR:
            fields.pop()
        state = {"desc": ", ".join(fields), "ncols": columns, "bar_format": "{desc} |{bar}|"}
        self._bar = self._bar or Tqdm(total=1, file=sys.stdout, leave=False, **state)
        vars(self._bar).update(state, n=share)
        self._bar.refresh()

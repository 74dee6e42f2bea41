"""Keeps the record of a run and tells it: to ``metrics.csv``, to the loggers, to the terminal."""

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from convblocks.atomic import write
from convblocks.tables import as_csv

Row = dict[str, float]

# How Lightning and the classifier name the metrics of a step, as opposed to those of an epoch.
OF_A_STEP = "_step"


class RunLog(Callback):
    """Collects one row an epoch: epoch (from 1), step, what was logged over the epoch, seconds, images per second.

    The rows are part of the checkpoint, and the file is written anew from them after every epoch: a resumed run
    neither loses nor repeats a row. Lightning itself writes an epoch's metrics to the loggers after the epoch's
    checkpoint, and a run killed between the two would have a hole in its curves: on a resume from an epoch's end,
    what belongs to its last step is written once more, where ``first_step_to_forget`` has made room for it.

    Args:
        path: The CSV file.
        every_n_steps: How many optimizer steps lie between two that the Trainer logs.
        running_loss: Also print the loss of the current batch that often, as the course's notebook does.
    """

    def __init__(self, path: Path, every_n_steps: int, running_loss: bool) -> None:
        self.path = path
        self.every_n_steps = every_n_steps
        self.running_loss = running_loss
        self.rows: list[Row] = []
        self._of_last_step: Row = {}  # what was logged at the last step that was
        self._epoch_start = time.perf_counter()
        self._seconds_before = 0.0  # spent on the current epoch by the run that this one resumes
        self._images = 0
        self._training_seconds = 0.0
        self._unfinished: tuple[Trainer, Row, Row] | None = None  # an epoch that has ended: where, and how fast

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_start = time.perf_counter()
        if self.rows and self.rows[-1]["step"] == trainer.global_step:
            metrics = {name: value for name, value in self.rows[-1].items() if name not in ("epoch", "step")}
            if trainer.global_step % self.every_n_steps == 0:
                metrics |= self._of_last_step
            _log(trainer, metrics | {"epoch": trainer.current_epoch - 1})

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish_row()
        self._epoch_start = time.perf_counter()
        self._seconds_before = 0.0
        self._images = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch[1])
        if trainer.is_last_batch:
            self._training_seconds = self._seconds_in_epoch()
        stepped = trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and trainer.global_step % self.every_n_steps == 0:
            learning_rate = {"train/lr": trainer.optimizers[0].param_groups[0]["lr"]}
            _log(trainer, learning_rate)
            logged = trainer.callback_metrics.items()
            self._of_last_step = learning_rate | {
                name: shortest_float(value) for name, value in logged if name.endswith(OF_A_STEP)
            }
        if self.running_loss and trainer.is_global_zero and (batch_idx + 1) % self.every_n_steps == 0:
            batch_of = f"batch {batch_idx + 1}/{trainer.num_training_batches}"
            show(trainer, f"epoch {trainer.current_epoch + 1}  {batch_of}  loss {outputs['loss']:.4f}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The module's own on_train_epoch_end, which logs, comes after that of the callbacks: the row is finished when
        # the epoch's checkpoint or the next epoch asks for it.
        speed = {
            "seconds": round(self._seconds_in_epoch(), 3),
            "images_per_second": round(self._images * trainer.world_size / self._training_seconds),
        }
        _log(trainer, speed)
        self._unfinished = trainer, {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}, speed

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish_row()

    def state_dict(self) -> dict[str, Any]:
        self._finish_row()
        return {
            "rows": self.rows,
            "of_last_step": self._of_last_step,
            "seconds": self._seconds_in_epoch(),
            "images": self._images,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
        self._of_last_step = state_dict.get("of_last_step", {})
        self._seconds_before = state_dict["seconds"]
        self._images = state_dict["images"]

    def _finish_row(self) -> None:
        """Record the epoch that has ended, if there is one."""
        if self._unfinished is None:
            return
        (trainer, where, speed), self._unfinished = self._unfinished, None
        logged = sorted(trainer.callback_metrics.items(), key=lambda metric: not metric[0].startswith("train/"))
        metrics = {name: shortest_float(value) for name, value in logged if not name.endswith(OF_A_STEP)}
        self.rows.append(where | metrics | speed)
        if trainer.is_global_zero:
            write(self.path, as_csv(self.rows))
            show(trainer, epoch_line(self.rows[-1], trainer.max_epochs))

    def _seconds_in_epoch(self) -> float:
        return self._seconds_before + time.perf_counter() - self._epoch_start


def first_step_to_forget(checkpoint: dict[str, Any]) -> int:
    """The first step, as the loggers count, of which nothing may be left when a run goes on from a checkpoint.

    Loggers count from 0. All steps that the checkpoint has seen were written before it, except, at an epoch's end,
    the last one's metrics of the epoch.
    """
    step: int = checkpoint["global_step"]
    rows = checkpoint["callbacks"]["RunLog"]["rows"]
    return step - 1 if rows and rows[-1]["step"] == step else step


def epoch_line(row: Row, epochs: int | None) -> str:
    """A row for people to read."""
    parts = [f"epoch {row['epoch']}/{epochs}"]
    for split in ("train", "val", "test"):
        if f"{split}/loss" in row:
            parts.append(f"{split} loss {row[f'{split}/loss']:.4f} acc {100 * row[f'{split}/acc']:5.2f} %")
    parts.append(f"{row['seconds']:.1f} s")
    return "  ".join(parts)


def show(trainer: Trainer, line: str) -> None:
    """Print a line, above the progress bar where there is one."""
    if trainer.progress_bar_callback is None:
        print(line, flush=True)
    else:
        trainer.progress_bar_callback.print(line)


def shortest_float(value: Tensor) -> float:
    """A scalar tensor as the shortest decimal that stands for it: 0.9446 for float32's 0.944599986."""
    return float(str(value.cpu().numpy()))


def _log(trainer: Trainer, metrics: Row) -> None:
    """Write metrics to all loggers, at the place of the last step."""
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step=trainer.global_step - 1)

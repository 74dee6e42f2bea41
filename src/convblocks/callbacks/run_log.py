"""Keeps the record of a run and tells it: to ``metrics.csv``, to TensorBoard, to the terminal."""

import csv
import io
import time
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.atomic import atomic_write
from convblocks.classifier import DigitClassifier

Row = dict[str, float]


class RunLog(Callback):
    """Collects one row an epoch: epoch (from 1), step, the logged metrics, seconds, training images per second.

    The rows are part of the checkpoint, and the file is written anew from them after every epoch: a resumed run
    neither loses nor repeats a row. Lightning's own ``self.log`` would write an epoch's metrics to the loggers after
    the epoch's checkpoint: a run killed between the two would leave a hole in its curve.

    One callback does all this, since Lightning calls six hooks of every callback at every batch.

    Args:
        path: The CSV file.
        every_n_steps: How many optimizer steps lie between two points of the step-wise curves, whose x axis counts
            finished steps.
        running_loss: Also print the loss of the current batch that often, as the course's notebook does.
    """

    def __init__(self, path: Path, every_n_steps: int, running_loss: bool) -> None:
        self.path = path
        self.every_n_steps = every_n_steps
        self.running_loss = running_loss
        self.rows: list[Row] = []
        self._epoch_start = time.perf_counter()
        self._seconds_before = 0.0  # spent on the current epoch by the run that this one resumes
        self._images = 0
        self._training_seconds = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_start = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_start = time.perf_counter()
        self._seconds_before = 0.0
        self._images = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch[1])
        if trainer.is_last_batch:
            self._training_seconds = self._seconds_in_epoch()
        if trainer.logger and trainer.global_step % self.every_n_steps == 0:
            loss = trainer.strategy.reduce(outputs["loss"].detach(), reduce_op="mean")  # collective: on every process
            learning_rate = trainer.optimizers[0].param_groups[0]["lr"]
            scalars = {"train/loss_step": float(loss), "train/lr": learning_rate}
            trainer.logger.log_metrics(scalars, step=trainer.global_step)
        if self.running_loss and trainer.is_global_zero and (batch_idx + 1) % self.every_n_steps == 0:
            batch_of = f"batch {batch_idx + 1}/{trainer.num_training_batches}"
            show(trainer, f"epoch {trainer.current_epoch + 1}  {batch_of}  loss {outputs['loss']:.4f}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = cast(DigitClassifier, pl_module).latest
        seconds = self._seconds_in_epoch()
        images_per_second = self._images * trainer.world_size / self._training_seconds
        where = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}
        scalars = metrics | {"seconds": round(seconds, 3), "images_per_second": round(images_per_second)}
        self.rows.append(where | scalars)
        if trainer.is_global_zero:
            with atomic_write(self.path) as file:
                file.write(as_csv(self.rows).encode())
            show(trainer, epoch_line(self.rows[-1], trainer.max_epochs))
        if trainer.logger:
            trainer.logger.log_metrics({"epoch": where["epoch"]} | scalars, step=trainer.global_step)
            trainer.logger.save()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self._seconds_in_epoch(), "images": self._images}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
        self._seconds_before = state_dict["seconds"]
        self._images = state_dict["images"]

    def _seconds_in_epoch(self) -> float:
        return self._seconds_before + time.perf_counter() - self._epoch_start


def as_csv(rows: list[Row]) -> str:
    """The rows as CSV text, a column for every key that any of them has."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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

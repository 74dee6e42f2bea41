"""Remembers what every epoch came to, and keeps ``metrics.csv`` up to date."""

import csv
import io
import time
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.atomic import atomic_write
from convblocks.classifier import DigitClassifier

Row = dict[str, float]


class EpochHistory(Callback):
    """Collects one row an epoch: epoch (from 1), step, the logged metrics, seconds, training images per second.

    The rows are part of the checkpoint, and the file is written anew from them after every epoch: a resumed run
    neither loses nor repeats a row.

    Args:
        path: The CSV file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
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

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = cast(DigitClassifier, pl_module).latest
        seconds = self._seconds_in_epoch()
        images_per_second = self._images * trainer.world_size / self._training_seconds
        self.rows.append(
            {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}
            | metrics
            | {"seconds": round(seconds, 3), "images_per_second": round(images_per_second)}
        )
        if trainer.is_global_zero:
            with atomic_write(self.path) as file:
                file.write(as_csv(self.rows).encode())

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

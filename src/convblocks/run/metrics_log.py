"""The metrics of a run: in ``metrics.csv``, in the loggers, on the terminal."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from convblocks.console import echo
from convblocks.files import write
from convblocks.run.directory import DEAD, SPEED, TRAINING, is_epoch
from convblocks.run.printed_rows import Column, columns, format_row, heading
from convblocks.run.process_state import steps_done
from convblocks.run.result import Row
from convblocks.text import as_csv

# The suffix of the metrics of a step, as opposed to those of an epoch.
STEP = "_step"

# That of the metrics of an epoch that are logged at each step too, as well as without it.
EPOCH = "_epoch"


class MetricsLog(Callback):
    """Collects a row for each evaluation and each epoch, a single one if they coincide.

    A row has epoch (from 1), step, the metrics of the epoch and of the evaluation, the seconds since the previous row
    or the start of the epoch and, from a training loader with ``images_in``, images per second. The rows are part of
    the checkpoint, and the whole file is rewritten from them each time, so that a resumed run neither loses nor repeats
    a row. Lightning writes an epoch's metrics to the loggers after the epoch's checkpoint, and a run killed in between
    would have a gap in its curves. Therefore a resume from the end of an epoch logs its last step again; see
    ``first_step_to_log``.

    Args:
        path: The CSV file.
        printed: The metrics that are printed if the module logs them, and whether they are in per cent.
        every_n_steps: The Trainer's ``log_every_n_steps``.
        running_loss: Also print the loss of the current batch that often, as the course's notebook does.
    """

    def __init__(self, path: Path, printed: Mapping[str, bool], every_n_steps: int, running_loss: bool) -> None:
        self.path = path
        self.printed = printed
        self.every_n_steps = every_n_steps
        self.running_loss = running_loss
        self.rows: list[Row] = []
        self._of_last_step: Row = {}  # the metrics of the last logged step
        self._start = time.perf_counter()
        self._seconds_before = 0.0  # spent on the current row before a resume
        self._images = 0
        self._training_seconds = 0.0
        self._ended: set[str] = set()  # "evaluation" or "epoch", if they have ended but have no row yet
        self._place: Row = {}  # epoch and step at that end, and the speed
        self.trains = False
        self._columns: list[Column] = []
        self._names_in_training: set[str] = set()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._trainer = trainer

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.perf_counter()
        self.trains = True
        self._log_last_epoch_again(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.trains:  # resumed after the last epoch
            self._log_last_epoch_again(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish_row()
        self._begin_row()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._ended:  # an evaluation in the middle of the epoch
            self._finish_row()
            self._begin_row()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (images_in := getattr(trainer.train_dataloader, "images_in", None)) is not None:  # an ImageLoader's
            self._images += images_in(batch_idx)
        if ends_logged_step(trainer, batch_idx, self.every_n_steps):
            learning_rate = learning_rate_of(trainer)
            _log(trainer, learning_rate)
            logged = trainer.callback_metrics.items()
            self._of_last_step = learning_rate | {
                name: shortest_float(value) for name, value in logged if name.endswith(STEP)
            }
        loss = outputs.get("loss") if self.running_loss and isinstance(outputs, dict) else None
        if loss is not None and trainer.is_global_zero and (batch_idx + 1) % self.every_n_steps == 0:
            batch_of = f"batch {batch_idx + 1}/{trainer.num_training_batches}"
            show(trainer, f"epoch {trainer.current_epoch + 1}  {batch_of}  loss {loss:.4f}")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._training_seconds = self._seconds()
        # Those of the last evaluation may be from before a resume, and the wing that logs them taken off since.
        logged = trainer.callback_metrics
        for name in [name for name in logged if name.startswith(DEAD)]:
            del logged[name]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._end("evaluation")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The module logs in its own on_train_epoch_end, after the callbacks: the row is finished later, by the epoch's
        # checkpoint or by the next epoch.
        if "evaluation" not in self._ended:
            self._training_seconds = self._seconds()
        self._end("epoch")
        _log(trainer, {name: self._place[name] for name in SPEED if name in self._place})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish_row()

    def state_dict(self) -> dict[str, Any]:
        if "epoch" in self._ended:
            self._finish_row()
        self._note_names()
        between = bool(self._ended)  # after an evaluation in the middle of an epoch, before its row is written
        return {
            "rows": [*self.rows, self._row()] if between else self.rows,
            "of_last_step": self._of_last_step,
            "steps": steps_done(self._trainer),
            "names_in_training": sorted(self._names_in_training),
            "seconds": 0.0 if between else self._seconds(),
            "images": 0 if between else self._images,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
        self._of_last_step = state_dict["of_last_step"]
        self._names_in_training = set(state_dict["names_in_training"])
        self._seconds_before = state_dict["seconds"]
        self._images = state_dict["images"]

    def note_final(self, metrics: Row) -> None:
        """Add a test at the very end to the last row."""
        self.rows[-1] |= metrics
        write(self.path, as_csv(self.rows))

    def _log_last_epoch_again(self, trainer: Trainer) -> None:
        """Log the metrics of the last epoch again if the run is resumed from its end."""
        if self.rows and self.rows[-1]["step"] == steps_done(trainer) and is_epoch(self.rows[-1]):
            metrics = {name: value for name, value in self.rows[-1].items() if name not in ("epoch", "step")}
            if steps_done(trainer) % self.every_n_steps == 0:
                metrics |= self._of_last_step
            _log(trainer, metrics | {"epoch": self.rows[-1]["epoch"] - 1})

    def _begin_row(self) -> None:
        self._start = time.perf_counter()
        self._seconds_before = 0.0
        self._images = 0

    def _end(self, what: str) -> None:
        trainer = self._trainer
        self._ended.add(what)
        self._place = {
            "epoch": trainer.current_epoch + 1,
            "step": steps_done(trainer),
            "seconds": round(self._seconds(), 3),
        }
        if self._images:
            self._place["images_per_second"] = round(self._images / self._training_seconds)
        if what == "epoch":
            self._place |= learning_rate_of(trainer)

    def _finish_row(self) -> None:
        """Add, write and print the row of an ended evaluation or epoch, if any."""
        if not self._ended:
            return
        self.rows.append(self._row())
        self._ended = set()
        if self._trainer.is_global_zero:
            write(self.path, as_csv(self.rows))
            if not self._columns:  # only now it is known which metrics are logged
                self._columns = columns(self.printed, self.rows[-1])
                show(self._trainer, heading(self._columns, self._trainer.max_epochs))
            show(self._trainer, format_row(self.rows[-1], self._columns, self._trainer.max_epochs))

    def _row(self) -> Row:
        self._note_names()
        metrics = {
            name: value
            for name, value in logged_metrics(self._trainer).items()
            if not _is_forked(name, self._trainer) and self._kind_of(name) in self._ended
        }
        place = {name: value for name, value in self._place.items() if name not in SPEED}
        if "images_per_second" in self._place and is_epoch(metrics):
            place.pop("train/lr", None)  # which marks the row as an epoch's where no other metric does
        return place | metrics | {name: value for name, value in self._place.items() if name in SPEED}

    def _note_names(self) -> None:
        """Note which metrics are logged in training; in a checkpoint, since a resume does not know at first."""
        results = self._trainer.fit_loop.epoch_loop._results.result_metrics
        self._names_in_training |= {one.meta.name for one in results}

    def _kind_of(self, name: str) -> str:
        is_of_training = name.startswith(TRAINING) or name in self._names_in_training
        return "epoch" if is_of_training else "evaluation"

    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._start


def first_step_to_log(checkpoint: dict[str, Any]) -> int:
    """The first step, counted from 0 as in the loggers, that must be logged again after a resume.

    All steps before the checkpoint have been logged, but at the end of an epoch the epoch's own metrics have not: they
    belong to its last step.
    """
    step, rows = steps_before(checkpoint), checkpoint["callbacks"]["MetricsLog"]["rows"]
    return step - 1 if rows and rows[-1]["step"] == step and is_epoch(rows[-1]) else step


def logged_metrics(trainer: Trainer) -> Row:
    """What was logged last, in the order of columns."""
    logged = sorted(trainer.callback_metrics.items(), key=lambda metric: _place_in_row(metric[0]))
    return {name: shortest_float(value) for name, value in logged}


def learning_rate_of(trainer: Trainer) -> Row:
    """Of the first optimizer; 0 where there is none."""
    return {"train/lr": trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else 0.0}


def steps_before(checkpoint: dict[str, Any]) -> int:
    """The steps that were done before a checkpoint, as ``steps_done`` counts them."""
    steps: int = checkpoint["callbacks"]["MetricsLog"].get("steps", checkpoint["global_step"])
    return steps


def _is_forked(name: str, trainer: Trainer) -> bool:
    """Whether it is of a step, or the second name of a metric that is logged at each step and epoch."""
    stem = name.removesuffix(STEP).removesuffix(EPOCH)
    return stem != name and stem in trainer.callback_metrics


def _place_in_row(metric: str) -> int:
    """The order of columns: metrics of training, of evaluation, dead units."""
    return 0 if metric.startswith(TRAINING) else 2 if metric.startswith(DEAD) else 1


def ends_logged_step(trainer: Trainer, batch_idx: int, every_n_steps: int) -> bool:
    """Whether the optimizer has stepped with this batch (gradients may accumulate), and the step is logged."""
    has_stepped = trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
    return has_stepped and steps_done(trainer) % every_n_steps == 0


def show(trainer: Trainer, line: str) -> None:
    """Print a line, above the progress bar if there is one."""
    if trainer.progress_bar_callback is None:
        echo(line)
    else:
        trainer.progress_bar_callback.print(line)


def shortest_float(value: Tensor) -> float:
    """A scalar tensor as the shortest decimal that rounds to it: 0.9446 for float32's 0.944599986."""
    return float(str(value.cpu().numpy()))


def _log(trainer: Trainer, metrics: Row) -> None:
    """Log metrics to all loggers, at the last step."""
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step=steps_done(trainer) - 1)

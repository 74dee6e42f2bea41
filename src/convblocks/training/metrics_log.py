"""Keeps the record of a run and tells it: to ``metrics.csv``, to the loggers, to the terminal."""

import math
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from convblocks.atomic import write
from convblocks.console import echo
from convblocks.runs.directory import DEAD, SPEED, TRAINING, is_epoch
from convblocks.tables import as_csv, percent

Row = dict[str, float]

# How Lightning and the classifier name the metrics of a step, as opposed to those of an epoch.
OF_A_STEP = "_step"

# Of the columns that people read, which fit into 80 of a terminal.
LOSS_WIDTH, SHARE_WIDTH, TIME_WIDTH = 10, 8, 9

# A loss from which on its decimals tell nothing.
HUGE = 10_000


class MetricsLog(Callback):
    """Collects a row for each evaluation and for each epoch, one for both where they coincide.

    A row has epoch (from 1), step, what was logged over the epoch and by the evaluation, and seconds and images per
    second since the row before or the epoch's start. The rows are part of the checkpoint, and the file is written anew
    from them each time: a resumed run neither loses nor repeats a row. Lightning itself writes an epoch's metrics to
    the loggers after the epoch's checkpoint, and a run killed between the two would have a hole in its curves: on a
    resume from an epoch's end, what belongs to its last step is written once more, where ``first_step_to_forget`` has
    made room for it.

    Args:
        path: The CSV file.
        evaluated: What the images are called that the run is evaluated on: test, or val.
        every_n_steps: How many optimizer steps lie between two that the Trainer logs.
        running_loss: Also print the loss of the current batch that often, as the course's notebook does.
    """

    def __init__(self, path: Path, evaluated: str, every_n_steps: int, running_loss: bool) -> None:
        self.path = path
        self.evaluated = evaluated
        self.every_n_steps = every_n_steps
        self.running_loss = running_loss
        self.rows: list[Row] = []
        self._of_last_step: Row = {}  # what was logged at the last step that was
        self._start = time.perf_counter()
        self._seconds_before = 0.0  # spent on the current row by the run that this one resumes
        self._images = 0
        self._training_seconds = 0.0
        self._ended: set[str] = set()  # "evaluation", "epoch": what has ended, and has no row yet
        self._place: Row = {}  # where it ended, and how fast it was
        self.trains = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._trainer = trainer

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.perf_counter()
        self.trains = True
        if trainer.is_global_zero:
            show(trainer, heading(self.evaluated, trainer.max_epochs))
        self._log_last_epoch_again(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.trains:  # all epochs were done, but not all that follows them
            self._log_last_epoch_again(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish_row()
        self._begin_row()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._ended:  # an evaluation within the epoch
            self._finish_row()
            self._begin_row()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch[1]) * trainer.world_size
        if ends_written_step(trainer, batch_idx, self.every_n_steps):
            learning_rate = {"train/lr": trainer.optimizers[0].param_groups[0]["lr"]}
            _log(trainer, learning_rate)
            logged = trainer.callback_metrics.items()
            self._of_last_step = learning_rate | {
                name: shortest_float(value) for name, value in logged if name.endswith(OF_A_STEP)
            }
        if self.running_loss and trainer.is_global_zero and (batch_idx + 1) % self.every_n_steps == 0:
            batch_of = f"batch {batch_idx + 1}/{trainer.num_training_batches}"
            show(trainer, f"epoch {trainer.current_epoch + 1}  {batch_of}  loss {outputs['loss']:.4f}")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._training_seconds = self._seconds()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._end("evaluation")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The module's own on_train_epoch_end, which logs, comes after that of the callbacks: the row is finished when
        # the epoch's checkpoint or the next epoch asks for it.
        if "evaluation" not in self._ended:
            self._training_seconds = self._seconds()
        self._end("epoch")
        _log(trainer, {name: self._place[name] for name in SPEED})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish_row()

    def state_dict(self) -> dict[str, Any]:
        if "epoch" in self._ended:
            self._finish_row()
        between = bool(self._ended)  # an evaluation within an epoch: its row is written with the next batch
        return {
            "rows": [*self.rows, self._row()] if between else self.rows,
            "of_last_step": self._of_last_step,
            "seconds": 0.0 if between else self._seconds(),
            "images": 0 if between else self._images,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
        self._of_last_step = state_dict["of_last_step"]
        self._seconds_before = state_dict["seconds"]
        self._images = state_dict["images"]

    def note_final(self, metrics: Row) -> None:
        """Add a test at the very end to the last row."""
        self.rows[-1] |= metrics
        write(self.path, as_csv(self.rows))

    def _log_last_epoch_again(self, trainer: Trainer) -> None:
        """Where the run is resumed from an epoch's end."""
        if self.rows and self.rows[-1]["step"] == trainer.global_step and is_epoch(self.rows[-1]):
            metrics = {name: value for name, value in self.rows[-1].items() if name not in ("epoch", "step")}
            if trainer.global_step % self.every_n_steps == 0:
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
            "step": trainer.global_step,
            "seconds": round(self._seconds(), 3),
            "images_per_second": round(self._images / self._training_seconds),
        }

    def _finish_row(self) -> None:
        """Record what has ended, if anything has."""
        if not self._ended:
            return
        self.rows.append(self._row())
        self._ended = set()
        if self._trainer.is_global_zero:
            write(self.path, as_csv(self.rows))
            show(self._trainer, line_of(self.rows[-1], self.evaluated, self._trainer.max_epochs))

    def _row(self) -> Row:
        logged = sorted(self._trainer.callback_metrics.items(), key=lambda metric: _place_in_row(metric[0]))
        metrics = {
            name: shortest_float(value)
            for name, value in logged
            if not name.endswith(OF_A_STEP) and ("epoch" if name.startswith(TRAINING) else "evaluation") in self._ended
        }
        place = {name: value for name, value in self._place.items() if name not in SPEED}
        return place | metrics | {name: self._place[name] for name in SPEED}

    def _seconds(self) -> float:
        return self._seconds_before + time.perf_counter() - self._start


def first_step_to_forget(checkpoint: dict[str, Any]) -> int:
    """The first step, as the loggers count, of which nothing may be left when a run goes on from a checkpoint.

    Loggers count from 0. All steps that the checkpoint has seen were written before it, except, at an epoch's end,
    the last one's metrics of the epoch.
    """
    step: int = checkpoint["global_step"]
    rows = checkpoint["callbacks"]["MetricsLog"]["rows"]
    return step - 1 if rows and rows[-1]["step"] == step and is_epoch(rows[-1]) else step


def _place_in_row(metric: str) -> int:
    """Training's metrics come first, and what is said of the network itself last."""
    return 0 if metric.startswith(TRAINING) else 2 if metric.startswith(DEAD) else 1


def ends_written_step(trainer: Trainer, batch_idx: int, every_n_steps: int) -> bool:
    """Whether the optimizer has stepped with this batch (gradients may be accumulated), and it was an n-th step."""
    has_stepped = trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
    return has_stepped and trainer.global_step % every_n_steps == 0


def heading(evaluated: str, epochs: int | None) -> str:
    """What stands above the lines of a run that is evaluated on these images."""
    splits = "".join(f"  {f'{split} loss':>{LOSS_WIDTH}} {'acc':>{SHARE_WIDTH}}" for split in ("train", evaluated))
    return f"{'epoch':<{_epoch_width(epochs)}}{splits}  {'time':>{TIME_WIDTH}}"


def line_of(row: Row, evaluated: str, epochs: int | None) -> str:
    """A row for people to read: below the heading, of an evaluation within an epoch with its step."""
    parts = [f"{place(int(row['epoch']), epochs):<{_epoch_width(epochs)}}"]
    for split in ("train", evaluated):
        loss, share = "", ""
        if f"{split}/loss" in row:
            loss, share = loss_text(row[f"{split}/loss"]), percent(row[f"{split}/acc"])
        elif split == "train":
            loss = f"step {row['step']}"
        parts.append(f"  {loss:>{LOSS_WIDTH}} {share:>{SHARE_WIDTH}}")
    seconds = f"{row['seconds']:.1f} s"
    return "".join([*parts, f"  {seconds:>{TIME_WIDTH}}"])


def place(epoch: int, epochs: int | None) -> str:
    """An epoch, counted from 1, among all if there is a limit to them."""
    return str(epoch) if epochs in (None, -1) else f"{epoch}/{epochs}"


def loss_text(loss: float) -> str:
    """A loss with four decimals, unless it has grown beyond all measure."""
    return f"{loss:.4f}" if abs(loss) < HUGE or not math.isfinite(loss) else f"{loss:.3g}"


def _epoch_width(epochs: int | None) -> int:
    return max(len("epoch"), len(place(epochs or 0, epochs)))


def show(trainer: Trainer, line: str) -> None:
    """Print a line, above the progress bar where there is one."""
    if trainer.progress_bar_callback is None:
        echo(line)
    else:
        trainer.progress_bar_callback.print(line)


def shortest_float(value: Tensor) -> float:
    """A scalar tensor as the shortest decimal that stands for it: 0.9446 for float32's 0.944599986."""
    return float(str(value.cpu().numpy()))


def _log(trainer: Trainer, metrics: Row) -> None:
    """Write metrics to all loggers, at the place of the last step."""
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step=trainer.global_step - 1)

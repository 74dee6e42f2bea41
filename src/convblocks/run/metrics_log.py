"""Writes the metrics of a run: to ``metrics.csv``, to the loggers and on the terminal."""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.console import echo
from convblocks.errors import printable
from convblocks.record.directory import DEAD, is_epoch
from convblocks.record.judge import Judges, Metrics
from convblocks.record.result import PLACE, Row
from convblocks.text import as_csv, percent
from exact_resume.files import write
from exact_resume.keeper import State
from exact_resume.lightning_private import LOGGER_CONNECTOR
from exact_resume.training import steps_done

# The least width of a printed column, in characters: the usual columns fit into a terminal of 80.
WIDTH = 11

# The width of a terminal into which the printed rows must fit, in characters.
TERMINAL = 80


class MetricsLog(Callback):
    """Collects a row for each evaluation and each epoch; an evaluation at the end of an epoch
    shares the row of the epoch.

    A row has the epoch (from 1), the step, the seconds since the previous row or the start of
    the epoch, and the metrics of the epoch and of the evaluation. The rows are part of the
    checkpoint, and the whole file is written from them each time, so that a resumed run
    neither loses nor repeats a row. The seconds of its next row count from the resume.

    Args:
        path: The CSV file.
        judges: The metrics that are printed first.
    """

    keeps_own_state = True  # ExactResume leaves the attributes to state_dict

    def __init__(self, path: Path, judges: Judges) -> None:
        self.path = path
        self.judges = judges
        self.columns: list[str] = []  # the metrics in the printed heading
        self.rows: list[Row] = []
        # The open row: that of an evaluation or epoch that has ended, but may still get metrics;
        # empty if there is none. _finish_row adds it to ``rows``.
        self._row: Row = {}
        self._evaluated: set[str] = set()  # the names of the metrics that evaluations log
        # The learning rate of the last step; empty before the first one, as in a resume from the
        # last step of an epoch.
        self._learning_rate: Row = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._trainer = trainer

    def _next_row(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the row, if any, and restart the clock."""
        self._finish_row()
        self._start = time.perf_counter()

    # At on_train_start too, since a resume within an epoch does not call on_train_epoch_start.
    on_train_start = _next_row
    on_train_epoch_start = _next_row
    on_train_end = _next_row

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self._row:  # an evaluation within the epoch has ended
            self._next_row(trainer, pl_module)
        # Read before the step: schedules change the rate before on_train_batch_end.
        self._learning_rate = learning_rate_of(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if ends_logged_step(trainer, batch_idx):
            _log(trainer, self._learning_rate)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            # In an evaluation the connector has the metrics of this evaluation only;
            # trainer.callback_metrics also has those of training.
            names = LOGGER_CONNECTOR.of(trainer).metrics["callback"].keys()
            self._evaluated |= names
            logged = logged_metrics(trainer).items()
            self._row = self._place() | {name: value for name, value in logged if name in names}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The module logs in its own on_train_epoch_end, after the callbacks: the row is
        # finished later, by the epoch's checkpoint, the next epoch or the end.
        place = self._place()
        if self.rows and not is_epoch(self.rows[-1]) and self.rows[-1]["step"] == place["step"]:
            # The training was resumed from a checkpoint that was written after this epoch's
            # evaluation, but before this hook: the last row has that evaluation, and becomes the
            # row of the epoch.
            self._row = self.rows.pop()
        evaluation = {name: value for name, value in self._row.items() if name in self._evaluated}
        # ``train/lr``, which it always has, makes it an epoch's row for is_epoch, which looks for
        # names that begin with train/.
        self._row = place | (self._learning_rate or learning_rate_of(trainer)) | evaluation
        _log(trainer, {"seconds": self._row["seconds"]})

    def state_dict(self) -> State:
        """The rows. If an epoch has ended, its row is finished, written and printed first: its
        checkpoint comes after the module's last calls of ``log``.
        """
        if is_epoch(self._row):
            self._finish_row()
        return {
            "rows": [row for row in (*self.rows, self._row) if row],
            "steps": steps_done(self._trainer),
            "evaluated": sorted(self._evaluated),
        }

    def load_state_dict(self, state_dict: State) -> None:
        self.rows = list(state_dict["rows"])
        self._evaluated = set(state_dict["evaluated"])

    def note_final(self, metrics: Row) -> None:
        """Add the metrics of a test at the end of the run to the last row."""
        self.rows[-1] |= metrics
        write(self.path, as_csv(self.rows))

    def _place(self) -> Row:
        return {
            "epoch": self._trainer.current_epoch + 1,
            "step": steps_done(self._trainer),
            "seconds": round(time.perf_counter() - self._start, 3),
        }

    def _finish_row(self) -> None:
        """Add, write and print the row of an ended evaluation or epoch, if any."""
        trainer = self._trainer
        row = self._row
        if not row:
            return
        if is_epoch(row):
            metrics = (row | logged_metrics(trainer)).items()
            of_training = {name: x for name, x in metrics if name not in self._evaluated}
            row = of_training | row  # in the order: place, training, evaluation
        self.rows.append(row)
        self._row = {}
        if trainer.is_global_zero:
            write(self.path, as_csv(self.rows))
            # Printed above the progress bar, if there is one.
            bar = trainer.progress_bar_callback
            show = bar.print if bar else echo
            columns = printed_columns(row, self.judges)
            if not {*columns} <= {*self.columns}:
                # Columns that only earlier rows have, such as the step of an evaluation within an
                # epoch, stay in front.
                others = [name for name in self.columns if name not in columns]
                self.columns = [*others, *columns]
                show(printable(heading(self.columns, trainer.max_epochs)))
            show(printable(self._line_of(row)))

    def _line_of(self, row: Metrics) -> str:
        """A row as it is printed below the heading."""
        texts = dict.fromkeys(self.columns, "")
        for name in row.keys() & texts.keys():
            texts[name] = f"{row[name]:.4f}"
            if name == "step":
                texts[name] = str(row[name])
            elif _stems(self.judges).get(without_split(name)):
                texts[name] = percent(row[name])
        epochs = self._trainer.max_epochs
        limit = "" if epochs in (None, -1) else f"/{epochs}"
        return _line(f"{int(row['epoch'])}{limit}", texts, f"{row['seconds']:.1f} s", epochs)


def printed_columns(row: Metrics, judges: Judges) -> list[str]:
    """The names of the metrics of a row that are printed, in their order. As many are chosen
    as fit into a terminal: first those by which the run is judged, and losses, then others.
    The row of an evaluation within an epoch has its step too.
    """
    # The first name of PLACE is the step.
    place = PLACE if is_epoch(row) else PLACE[1:]
    names = [name for name in row if name not in place and not name.startswith(DEAD)]
    first = {"step", "loss", *_stems(judges)}
    chosen: list[str] = []
    for name in sorted(names, key=lambda name: without_split(name) not in first):
        if len(heading([*chosen, name], None)) <= TERMINAL:
            chosen.append(name)
    return [name for name in names if name in chosen]


def _stems(judges: Judges) -> dict[str, bool]:
    """The names of the judges' metrics without splits, and whether each is written in per cent:
    ``{"acc": True}``.
    """
    metrics = (judges.monitor, judges.judge)
    return {without_split(metric.metric): metric.in_percent for metric in metrics if metric}


def without_split(metric: str) -> str:
    """A metric's name without its split: ``loss`` of ``val/loss``."""
    return re.sub(r"^(train|val(id(ation)?)?|test)[/_.-]", "", metric)


def heading(columns: Sequence[str], epochs: int | None) -> str:
    """The heading of the printed rows."""
    return _line("epoch", {name: name for name in columns}, "time", epochs)


def _line(epoch: str, cells: Mapping[str, str], time: str, epochs: int | None) -> str:
    """One printed line.

    Args:
        epoch: The text of the first column.
        cells: The texts of the others, by the name of the column, which decides on its width.
        time: The text of the last column.
        epochs: The number of epochs, which decides on the width of the first column.
    """
    texts = [f" {text:>{max(WIDTH, len(name) + 1)}}" for name, text in cells.items()]
    return f"{epoch:<{max(5, 2 * len(str(epochs)) + 1)}}{''.join(texts)} {time:>{WIDTH}}"


def logged_metrics(trainer: Trainer) -> Row:
    """The metrics that were logged last, by name; of one that is logged per step and per epoch
    only the value of the epoch, by its name without Lightning's suffix.
    """
    logged = trainer.callback_metrics
    metrics = {}
    for name, value in logged.items():
        # Lightning adds these suffixes to a metric that is logged per step and per epoch.
        stem = name.removesuffix("_step").removesuffix("_epoch")
        if stem == name or stem not in logged:
            # The shortest decimal that rounds to the value: 0.9446 for float32's 0.944599986.
            metrics[name] = float(str(value.cpu().numpy()))
    return metrics


def learning_rate_of(trainer: Trainer) -> Row:
    """The learning rate of the first optimizer, as ``{"train/lr": 0.01}``; 0 where there is
    none.
    """
    # The optimizer that Lightning makes for a module without one has no groups of parameters.
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            return {"train/lr": group["lr"]}
    return {"train/lr": 0.0}


def ends_logged_step(trainer: Trainer, batch_idx: int) -> bool:
    """True if the optimizer has stepped with this batch, which it does not while gradients
    accumulate, and the Trainer logs this step.
    """
    # Lightning sets it at run time
    every_n_steps: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    has_stepped = trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
    return has_stepped and every_n_steps > 0 and steps_done(trainer) % every_n_steps == 0


def _log(trainer: Trainer, metrics: Row) -> None:
    """Log metrics to all loggers, at the last step."""
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step=steps_done(trainer) - 1)

"""The metrics of a run: in ``metrics.csv``, in the loggers, on the terminal."""

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

# Width of a printed column at least; the usual ones fit into a terminal of 80 columns.
WIDTH = 11

# Of a terminal, in columns.
TERMINAL = 80


class MetricsLog(Callback):
    """Collects a row for each evaluation and each epoch, a single one if they coincide.

    A row has epoch (from 1), step, the seconds since the previous row or the start of
    the epoch, and the metrics of the epoch and of the evaluation. The rows are part of
    the checkpoint, and the whole file is rewritten from them each time, so that a
    resumed run neither loses nor repeats a row. Its seconds begin again with a resume.

    Args:
        path: The CSV file.
        judges: The metrics that are printed first.
    """

    keeps_own_state = True

    def __init__(self, path: Path, judges: Judges) -> None:
        self.path = path
        self.judges = judges
        self.columns: list[str] = []  # of the printed heading
        self.rows: list[Row] = []
        # of an evaluation or an epoch that has ended, if it is not among the others yet
        self._row: Row = {}
        self._evaluated: set[str] = set()  # the names of what evaluations log
        self._rate: Row = {}  # the learning rate of the last step

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._trainer = trainer

    def _next_row(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the row, if any, and restart the clock."""
        self._finish_row()
        self._start = time.perf_counter()

    # A resume within an epoch skips on_train_epoch_start.
    on_train_start = _next_row
    on_train_epoch_start = _next_row
    on_train_end = _next_row

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self._row:  # of an evaluation in the middle of the epoch
            self._next_row(trainer, pl_module)
        # Now, since schedules step before on_train_batch_end.
        self._rate = learning_rate_of(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if ends_logged_step(trainer, batch_idx):
            _log(trainer, self._rate)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            # without those of training
            names = LOGGER_CONNECTOR.of(trainer).metrics["callback"].keys()
            self._evaluated |= names
            logged = logged_metrics(trainer).items()
            self._row = self._place() | {name: value for name, value in logged if name in names}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The module logs in its own on_train_epoch_end, after the callbacks: the row is
        # finished later, by the epoch's checkpoint or by the next epoch.
        place = self._place()
        if self.rows and not is_epoch(self.rows[-1]) and self.rows[-1]["step"] == place["step"]:
            # A resume from the checkpoint of the evaluation at the end of this epoch.
            self._row = self.rows.pop()
        evaluation = {name: value for name, value in self._row.items() if name in self._evaluated}
        # ``train/lr`` is always there; by it is_epoch recognises an epoch's row.
        self._row = place | (self._rate or learning_rate_of(trainer)) | evaluation
        _log(trainer, {"seconds": self._row["seconds"]})

    def state_dict(self) -> State:
        """First finishes the row of an epoch that has ended (writes metrics.csv, prints):
        the epoch's checkpoint comes after the module's last log calls.
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
        """Add a test at the very end to the last row."""
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
            row = of_training | row  # evaluations come last
        self.rows.append(row)
        self._row = {}
        if trainer.is_global_zero:
            write(self.path, as_csv(self.rows))
            # Above the progress bar, if there is one.
            bar = trainer.progress_bar_callback
            show = bar.print if bar else echo
            columns = printed_columns(row, self.judges)
            if not {*columns} <= {*self.columns}:
                # Others are of an evaluation in the middle of the first epoch.
                others = [name for name in self.columns if name not in columns]
                self.columns = [*others, *columns]
                show(printable(heading(self.columns, trainer.max_epochs)))
            show(printable(self._line_of(row)))

    def _line_of(self, row: Metrics) -> str:
        """A row as printed below the heading."""
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
    """The metrics of a row that are printed, in their order: first what it is judged by,
    and losses, then others, as far as they fit in a terminal; of an evaluation in the
    middle of an epoch also the step.
    """
    place = PLACE if is_epoch(row) else PLACE[1:]
    names = [name for name in row if name not in place and not name.startswith(DEAD)]
    first = {"step", "loss", *_stems(judges)}
    chosen: list[str] = []
    for name in sorted(names, key=lambda name: without_split(name) not in first):
        if len(heading([*chosen, name], None)) <= TERMINAL:
            chosen.append(name)
    return [name for name in names if name in chosen]


def _stems(judges: Judges) -> dict[str, bool]:
    """Their names without splits, and whether they are written in per cent."""
    metrics = (judges.monitor, judges.judge)
    return {without_split(metric.metric): metric.in_percent for metric in metrics if metric}


def without_split(metric: str) -> str:
    """A metric's name without its split: ``loss`` of ``val/loss``."""
    return re.sub(r"^(train|val(id(ation)?)?|test)[/_.-]", "", metric)


def heading(columns: Sequence[str], epochs: int | None) -> str:
    """The heading of the printed rows."""
    return _line("epoch", {name: name for name in columns}, "time", epochs)


def _line(epoch: str, cells: Mapping[str, str], time: str, epochs: int | None) -> str:
    """Cells as wide as their columns, whose metrics are the keys."""
    texts = [f" {text:>{max(WIDTH, len(name) + 1)}}" for name, text in cells.items()]
    return f"{epoch:<{max(5, 2 * len(str(epochs)) + 1)}}{''.join(texts)} {time:>{WIDTH}}"


def logged_metrics(trainer: Trainer) -> Row:
    """What was logged last, for a metric logged per step and per epoch only the epoch's value."""
    logged = trainer.callback_metrics
    metrics = {}
    for name, value in logged.items():
        # Lightning's suffixes of a metric that is logged for both
        stem = name.removesuffix("_step").removesuffix("_epoch")
        if stem == name or stem not in logged:
            # the shortest decimal that rounds to it: 0.9446 for float32's 0.944599986
            metrics[name] = float(str(value.cpu().numpy()))
    return metrics


def learning_rate_of(trainer: Trainer) -> Row:
    """Of the first optimizer; 0 where there is none."""
    # what Lightning makes for a module without one has no groups
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            return {"train/lr": group["lr"]}
    return {"train/lr": 0.0}


def ends_logged_step(trainer: Trainer, batch_idx: int) -> bool:
    """Whether the optimizer has stepped with this batch (gradients may accumulate), and
    the step is logged.
    """
    # Lightning sets it at run time
    every_n_steps: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    has_stepped = trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
    return has_stepped and every_n_steps > 0 and steps_done(trainer) % every_n_steps == 0


def _log(trainer: Trainer, metrics: Row) -> None:
    """Log metrics to all loggers, at the last step."""
    for logger in trainer.loggers:
        logger.log_metrics(metrics, step=steps_done(trainer) - 1)

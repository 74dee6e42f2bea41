"""The rows that a run prints: a column for each metric, below a heading."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from convblocks.run.directory import TRAINING, is_epoch
from convblocks.run.judge import Judge
from convblocks.text import percent

# Widths of the printed columns, which fit into a terminal of 80 columns.
LOSS_WIDTH, SHARE_WIDTH, TIME_WIDTH = 10, 8, 9

# Losses above this are printed in scientific notation.
HUGE = 10_000


class Column(NamedTuple):
    """A printed metric: its heading, its name, its width and its text."""

    heading: str
    metric: str
    width: int
    text: Callable[[float], str]


def printed_metrics(judge: Judge, monitor: Judge, split: str) -> dict[str, bool]:
    """The training loss, and what a run is judged and monitored by, in training and evaluation; whether in per cent.

    Args:
        judge: The metric that it is judged by.
        monitor: That by which its best checkpoint is chosen.
        split: What it is evaluated on: val or test.
    """
    metrics, name = {"train/loss": False}, without_split(judge.metric)
    if name != judge.metric:
        metrics[f"train/{name}"] = judge.in_percent
    if judge.is_of_test and split != "test":
        return metrics
    return metrics | {
        (metric.tested if split == "test" else metric.metric): metric.in_percent for metric in (monitor, judge)
    }


def columns(metrics: Mapping[str, bool], row: Mapping[str, float]) -> list[Column]:
    """The columns of metrics, some in per cent, that a module logs, as far as its first row shows it.

    The training loss always has one. The heading of the first column of a split names it too.
    """
    is_evaluated = any(metric in row for metric in metrics if not metric.startswith(TRAINING))
    made: dict[str, Column] = {}
    for metric, in_percent in metrics.items():
        is_of_training = metric.startswith(TRAINING)
        if metric not in row and made and (is_epoch(row) if is_of_training else is_evaluated):
            continue
        is_first = not any(other.startswith(TRAINING) == is_of_training for other in made)
        shown = metric.replace("/", " ") if is_first else without_split(metric)
        width = SHARE_WIDTH if in_percent else max(LOSS_WIDTH, len(shown)) + 1
        made[metric] = Column(shown, metric, width, percent if in_percent else loss_text)
    return list(made.values())


def without_split(metric: str) -> str:
    """A metric's name without its split: ``loss`` of ``val/loss``."""
    return re.sub(r"^(train|val(id(ation)?)?|test)[/_.-]", "", metric)


def heading(columns: Sequence[Column], epochs: int | None) -> str:
    """The heading of the printed rows."""
    headings = "".join(f" {one.heading:>{one.width}}" for one in columns)
    return f"{'epoch':<{_epoch_width(epochs)}}{headings}  {'time':>{TIME_WIDTH}}"


def format_row(row: Mapping[str, float], columns: Sequence[Column], epochs: int | None) -> str:
    """A row as printed below the heading; an evaluation in the middle of an epoch has its step."""
    cells = [one.text(row[one.metric]) if one.metric in row else "" for one in columns]
    if not is_epoch(row):
        cells[0] = f"step {row['step']}"
    shown = "".join(f" {cell:>{one.width}}" for cell, one in zip(cells, columns, strict=True))
    seconds = f"{row['seconds']:.1f} s"
    return f"{epoch_label(int(row['epoch']), epochs):<{_epoch_width(epochs)}}{shown}  {seconds:>{TIME_WIDTH}}"


def epoch_label(epoch: int, epochs: int | None) -> str:
    """An epoch, counted from 1: ``3/5``, or ``3`` without a limit."""
    return str(epoch) if epochs in (None, -1) else f"{epoch}/{epochs}"


def loss_text(loss: float) -> str:
    """A loss with four decimals, or in scientific notation if it is huge."""
    return f"{loss:.4f}" if abs(loss) < HUGE or not math.isfinite(loss) else f"{loss:.3g}"


def _epoch_width(epochs: int | None) -> int:
    return max(len("epoch"), len(epoch_label(epochs or 0, epochs)))

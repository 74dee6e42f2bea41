"""The rows that a run prints: a column for each metric, below a heading."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from convblocks.run.directory import is_epoch
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


def printed_columns(judge: Judge, monitor: Judge, split: str) -> list[Column]:
    """The training loss, and what a run is judged and monitored by; where that is in per cent, in training too.

    Args:
        judge: The metric that it is judged by.
        monitor: That by which its best checkpoint is chosen.
        split: What it is evaluated on: val or test.
    """
    training, evaluation = {"train/loss": False}, dict[str, bool]()
    if judge.in_percent:
        training[f"train/{without_split(judge.metric)}"] = True
    if split == "test" or not judge.is_of_test:
        for metric in (monitor, judge):
            evaluation[metric.tested if split == "test" else metric.metric] = metric.in_percent
    return _columns(training) + _columns(evaluation)


def _columns(metrics: Mapping[str, bool]) -> list[Column]:
    """The columns of metrics of one split, some in per cent; the heading of the first names the split."""
    columns: list[Column] = []
    for metric, in_percent in metrics.items():
        shown = without_split(metric) if columns else metric.replace("/", " ")
        width = SHARE_WIDTH if in_percent else max(LOSS_WIDTH, len(shown)) + 1
        columns.append(Column(shown, metric, width, percent if in_percent else loss_text))
    return columns


def without_split(metric: str) -> str:
    """A metric's name without its split: ``loss`` of ``val/loss``."""
    return re.sub(r"^(train|val(id(ation)?)?|test)[/_.-]", "", metric)


def heading(columns: Sequence[Column], epochs: int | None) -> str:
    """The heading of the printed rows."""
    headings = "".join(f" {column.heading:>{column.width}}" for column in columns)
    return f"{'epoch':<{_epoch_width(epochs)}}{headings}  {'time':>{TIME_WIDTH}}"


def format_row(row: Mapping[str, float], columns: Sequence[Column], epochs: int | None) -> str:
    """A row as printed below the heading; an evaluation in the middle of an epoch has its step."""
    cells = [column.text(row[column.metric]) if column.metric in row else "" for column in columns]
    if not is_epoch(row):
        cells[0] = f"step {row['step']}"
    shown = "".join(f" {cell:>{column.width}}" for cell, column in zip(cells, columns, strict=True))
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

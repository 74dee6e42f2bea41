"""The rows that a run prints: a column for each metric, below a heading."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def columns(judge: Judge, monitor: Judge, split: str) -> list[Column]:
    """The training loss, and the metrics that a run is judged and monitored by, in training and in evaluation.

    Args:
        judge: The metric that it is judged by.
        monitor: That by which its best checkpoint is chosen.
        split: What it is evaluated on: val or test.
    """
    name = without_split(judge.metric)
    trained = {"train/loss": False} | ({f"train/{name}": judge.in_percent} if name != judge.metric else {})
    if judge.is_of_test and split != "test":
        return [*_of_split(trained)]
    names = {(metric.tested if split == "test" else metric.metric): metric for metric in (monitor, judge)}
    return [*_of_split(trained), *_of_split({name: metric.in_percent for name, metric in names.items()})]


def _of_split(metrics: Mapping[str, bool]) -> Iterator[Column]:
    """Columns of metrics, some in per cent; the heading of the first also says of which split they are."""
    for number, (metric, in_percent) in enumerate(metrics.items()):
        shown = without_split(metric) if number else metric.replace("/", " ")
        if in_percent:
            yield Column(shown, metric, SHARE_WIDTH, percent)
        else:
            yield Column(shown, metric, max(LOSS_WIDTH, len(shown)) + 1, loss_text)


def logged_columns(columns: Sequence[Column], row: Mapping[str, float]) -> list[Column]:
    """The columns without those, beyond the first, that the module does not log, as far as its first row shows it."""
    metrics = [column.metric for column in columns]
    is_evaluated = any(metric in row and not metric.startswith(TRAINING) for metric in metrics)
    absent = {
        metric
        for metric in metrics[1:]
        if metric not in row and (is_epoch(row) if metric.startswith(TRAINING) else is_evaluated)
    }
    return [column for column in columns if column.metric not in absent]


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

"""The rows that a run prints: a column for each metric, below a heading."""

import math
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


def columns_of_images(evaluated: str) -> list[Column]:
    """Loss and accuracy on the training images and on the split that the run is evaluated on: test or val."""
    return [
        column
        for split in ("train", evaluated)
        for column in (
            Column(f"{split} loss", f"{split}/loss", LOSS_WIDTH + 1, loss_text),
            Column("acc", f"{split}/acc", SHARE_WIDTH, percent),
        )
    ]


def columns_of_own(judge: Judge) -> list[Column]:
    """The training loss, for a module that logs it as ``train/loss``, and the metric that it is judged by."""
    width = max(LOSS_WIDTH, len(judge.metric)) + 1
    loss = Column("train loss", "train/loss", LOSS_WIDTH + 1, loss_text)
    return [loss, *([] if judge.is_of_test else [Column(judge.metric, judge.metric, width, loss_text)])]


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

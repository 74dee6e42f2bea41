"""The rows that a run prints: a column for each metric, below a heading."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from convblocks.run.directory import is_epoch
from convblocks.run.judge import Judge
from convblocks.text import percent

# Widths of the printed columns, which fit into a terminal of 80 columns.
LOSS_WIDTH, SHARE_WIDTH, TIME_WIDTH = 11, 8, 9


class Column(NamedTuple):
    """A printed metric: its name, its heading, and whether it is printed in per cent."""

    metric: str
    heading: str
    in_percent: bool

    def cell(self, text: str) -> str:
        """A heading or a value, as wide as the column and the space before it."""
        width = SHARE_WIDTH if self.in_percent else max(LOSS_WIDTH, len(self.heading) + 1)
        return f" {text:>{width}}"


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
    columns = []
    for metrics in (training, evaluation):
        for number, (name, in_percent) in enumerate(metrics.items()):  # the first heading names the split
            columns.append(Column(name, without_split(name) if number else name.replace("/", " "), in_percent))
    return columns


def without_split(metric: str) -> str:
    """A metric's name without its split: ``loss`` of ``val/loss``."""
    return re.sub(r"^(train|val(id(ation)?)?|test)[/_.-]", "", metric)


def heading(columns: Sequence[Column], epochs: int | None) -> str:
    """The heading of the printed rows."""
    cells = "".join(column.cell(column.heading) for column in columns)
    return f"{'epoch':<{len(_epoch(0, epochs))}}{cells}  {'time':>{TIME_WIDTH}}"


def format_row(row: Mapping[str, float], columns: Sequence[Column], epochs: int | None) -> str:
    """A row as printed below the heading; an evaluation in the middle of an epoch has its step."""
    texts = [_number(row[column.metric], column.in_percent) if column.metric in row else "" for column in columns]
    if not is_epoch(row):
        texts[0] = f"step {row['step']}"
    cells = "".join(column.cell(text) for column, text in zip(columns, texts, strict=True))
    return f"{_epoch(int(row['epoch']), epochs)}{cells}  {row['seconds']:>{TIME_WIDTH - 2}.1f} s"


def _number(value: float, in_percent: bool) -> str:
    return percent(value) if in_percent else f"{value:.4f}"


def _epoch(epoch: int, epochs: int | None) -> str:
    """An epoch, counted from 1, as wide as any: ``3/5``, or ``3`` without a limit."""
    limit = "" if epochs in (None, -1) else f"/{epochs}"
    return f"{epoch}{limit}".ljust(max(len("epoch"), 2 * len(limit) - 1))

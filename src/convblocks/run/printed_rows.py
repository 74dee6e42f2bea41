"""The rows that a run prints: a column for each metric, below a heading."""

import re
from collections.abc import Mapping

from convblocks.run.directory import is_epoch
from convblocks.run.judge import Judge
from convblocks.text import percent

# Width of a column at least; the usual ones fit into a terminal of 80 columns.
WIDTH = 11


def printed_columns(judge: Judge, monitor: Judge, split: str) -> dict[str, bool]:
    """The metrics that are printed, and whether each is in per cent.

    The training loss, and what a run is judged and monitored by; where that is in per cent, in training too.

    Args:
        judge: The metric that it is judged by.
        monitor: That by which its best checkpoint is chosen.
        split: What it is evaluated on: val or test.
    """
    columns = {"train/loss": False}
    if judge.in_percent:
        columns[f"train/{without_split(judge.metric)}"] = True
    if split == "test" or not judge.is_of_test:
        for metric in (monitor, judge):
            columns[metric.tested if split == "test" else metric.metric] = metric.in_percent
    return columns


def without_split(metric: str) -> str:
    """A metric's name without its split: ``loss`` of ``val/loss``."""
    return re.sub(r"^(train|val(id(ation)?)?|test)[/_.-]", "", metric)


def heading(columns: Mapping[str, bool], epochs: int | None) -> str:
    """The heading of the printed rows."""
    return _line("epoch", {name: name for name in columns}, "time", epochs)


def format_row(row: Mapping[str, float], columns: Mapping[str, bool], epochs: int | None) -> str:
    """A row as printed below the heading; an evaluation in the middle of an epoch has its step."""
    texts = dict.fromkeys(columns, "")
    for name in row.keys() & columns.keys():
        texts[name] = percent(row[name]) if columns[name] else f"{row[name]:.4f}"
    if not is_epoch(row):
        texts["train/loss"] = f"step {row['step']}"
    limit = "" if epochs in (None, -1) else f"/{epochs}"
    return _line(f"{int(row['epoch'])}{limit}", texts, f"{row['seconds']:.1f} s", epochs)


def _line(epoch: str, cells: Mapping[str, str], time: str, epochs: int | None) -> str:
    """Cells as wide as their columns, whose metrics are the keys."""
    texts = [f" {text:>{max(WIDTH, len(name) + 1)}}" for name, text in cells.items()]
    return f"{epoch:<{max(5, 2 * len(str(epochs)) + 1)}}{''.join(texts)} {time:>{WIDTH}}"

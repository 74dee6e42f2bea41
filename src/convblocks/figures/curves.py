"""Curves by epoch: the figures of a run, and what those of several runs are drawn with.

A collapsed run is drawn like any other. A loss that is not finite is no point, and
counts as the worst in a median.
"""

import math
import re
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from textwrap import fill
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convblocks.figures.style import (
    LINES,
    MARKERS,
    NARROW,
    End,
    Style,
    foreground,
    label_ends,
    log_axis,
    muted,
)
from convblocks.model.names import title_of
from convblocks.record.judge import ACCURACY, Judge
from convblocks.record.result import Results, RunResult

LOSS = Judge("train/loss", "min")

# Longer names have several lines.
LONGEST_NAME = 22

# Numbers of epochs, and values.
Points = list[tuple[int, float]]

# Ends the name of a logarithmic axis.
LOG_SCALE = ", log scale"


def half_figure() -> Figure:
    """A figure of which two stand side by side."""
    return Figure(figsize=(NARROW, 4.6), layout="constrained")


class Curve(NamedTuple):
    """Runs that are drawn together, such as those of a network, and their style."""

    name: str
    style: Style
    runs: list[RunResult]


def metric_figure(run: RunResult, metric: str) -> Figure:
    """One run by epoch: ``loss`` or ``acc`` (as error) in training and evaluation."""
    figure = half_figure()
    axes = figure.subplots()
    splits = ("train", evaluated([run]))
    scale = Scale(ACCURACY if metric == "acc" else LOSS)
    name, unit = ("error", " %") if metric == "acc" else ("loss", "")
    values = [scale.values_of(run, f"{split}/{metric}") for split in splits]
    scale.set_axis(axes, "y", finite(values))
    looks = map(Style, (muted(), foreground()), LINES, MARKERS)
    curves = [Curve(split, look, [run]) for split, look in zip(splits, looks, strict=True)]
    axes.set(
        title=f"{splits[1]} {name} {values[1][-1]:.3g}{unit} after the last epoch",
        ylabel=f"{name}{LOG_SCALE}",
    )
    label_ends(figure, [(axes, draw_by_epoch(axes, curves, [[own] for own in values]))])
    return figure


class Scale(NamedTuple):
    """The scale on which scores are drawn: accuracies as errors in per cent on a log axis,
    training losses on a log axis, others as they are.
    """

    judge: Judge

    def drawn(self, score: float) -> float:
        return 100 * (1 - score) if self.judge.in_percent else score

    def values_of(self, run: RunResult, metric: str) -> list[float]:
        """A metric by epoch as it is drawn."""
        return [*map(self.drawn, values_of(run, metric))]

    def name(self, split: str) -> str:
        """The name of an axis of scores on validation (``val``) or test data."""
        if self.judge.in_percent:
            kind = "validation " if split == "val" else "test "
            return f"{kind * bool(self.judge.split)}error{LOG_SCALE}"
        return self.judge.metric if split == "val" else self.judge.tested

    def set_axis(self, axes: Axes, which: Literal["x", "y"], found: Sequence[float]) -> None:
        """Make an axis of errors logarithmic, up to 100 % if a run has collapsed."""
        if self.judge.in_percent:
            top = 100 if max(found, default=0) > 50 else 0
            log_axis(axes, which, found, top, unit=" %")
        elif self.judge == LOSS:
            log_axis(axes, which, found)


def draw_by_epoch(
    axes: Axes,
    curves: Sequence[Curve],
    values: Sequence[Sequence[Sequence[float]]],
    of_trained: bool = False,
) -> list[End]:
    """A thin line for each run, dotted if it collapsed, and a thick one through the
    medians of all runs.

    With ``of_trained`` the thick line is through the means of the runs that trained; a
    curve has none without these.
    """
    average, gid = (np.mean, "means") if of_trained else (np.median, "medians")
    ends = []
    last = 1
    for (name, look, runs), lines in zip(curves, values, strict=True):
        points: Points = []
        averaged = []
        for run, line in zip(runs, lines, strict=True):
            dotted = ":" if run.failed else "-"
            own = _line(axes, line, ls=dotted, color=look.colour, linewidth=0.7, gid="runs")
            points = own or points
            if not (of_trained and run.failed):
                averaged.append(line)
        by_epoch = zip_longest(*averaged, fillvalue=math.nan)
        middle = [float(average(at_epoch)) for at_epoch in by_epoch]
        thick = _line(axes, middle, ls=look.line, color=look.colour, linewidth=2.2, gid=gid)
        if thick:
            axes.plot(*zip(*thick, strict=True), look.marker, color=look.colour, markersize=5)
            points = thick
        if points:
            ends.append(End(name, *points[-1], look.colour))
        last = max(last, *map(len, lines))
    margin = 0.5 if last == 1 else 0.02 * last
    axes.set_xlim(1 - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    return ends


def _line(axes: Axes, values: Iterable[float], **look: Any) -> Points:
    """Draw the finite values by epoch; returns their points."""
    points = [(epoch, value) for epoch, value in enumerate(values, start=1) if math.isfinite(value)]
    if points:
        marker = "." if len(points) == 1 else ""
        axes.plot(*zip(*points, strict=True), marker=marker, **look)
    return points


def values_of(run: RunResult, metric: str) -> list[float]:
    """The metric by epoch: nan where it was not measured, infinite where it was not finite."""
    values = []
    for row in run.epochs:
        value = row.get(metric)
        if value is None:
            value = math.nan
        elif not math.isfinite(value):
            value = math.inf
        values.append(value)
    return values


def evaluated(results: Results) -> str:
    """The images of the evaluation after each epoch: ``val`` or ``test``."""
    metric = results[0].judged_by.metric
    return "val" if any(metric in row for run in results for row in run.epochs) else "test"


def wrapped(name: str, longest: int = LONGEST_NAME) -> str:
    """The name of a network or class, or a setting, in lines of at most so many
    characters, which end at spaces, points or before capitals where they can.
    """
    lines = [""]
    for part in re.split(r"(?<=[ ,._/=])(?!\d)", title_of(name)):
        pieces = re.split("(?<=[a-z])(?=[A-Z])", part) if len(part) > longest else [part]
        for piece in pieces:
            if len(lines[-1] + piece) > longest:
                lines.append("")
            lines[-1] += piece
    return "\n".join(fill(line, longest) for line in lines).strip()


def finite(values: Iterable[Sequence[float]]) -> list[float]:
    return [*filter(math.isfinite, chain.from_iterable(values))]

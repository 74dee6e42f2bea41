"""The figures of runs by epoch: loss and error, final errors, and dead units; each panel has a function.

A collapsed run is drawn like any other. A loss that is not finite is no point, and counts as the worst in a median.
"""

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from convblocks.figures.grouping import by_arch
from convblocks.figures.style import WIDTH, End, Style, epoch_axis, foreground, label_ends, log_axis, style
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.directory import DEAD
from convblocks.run.judge import Judge
from convblocks.run.result import RunResult

LONGEST_NAME = 22


class Curve(NamedTuple):
    """Runs that are drawn together, such as those of a network, and their style."""

    name: str
    style: Style
    runs: list[RunResult]


def comparison_figure(results: Sequence[RunResult]) -> Figure:
    """Training loss, if it is known, and error or score by epoch, and the final one of every run."""
    curves, scale = curves_of_networks(results), Scale(results[0].judge)
    heights = (4.0, 0.9 + 0.45 * len(curves))
    if not any(math.isfinite(score) for run in results for score in run.scores):  # of runs from elsewhere
        figure = Figure(figsize=(WIDTH, heights[1]), layout="constrained")
        _final_scores(figure.subplots(), curves, scale)
        return figure
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    has_loss = all("train/loss" in row for run in results for row in run.epochs)
    *left, right = np.ravel(top.subplots(1, 2 if has_loss else 1))
    ends = [(panel, _losses(panel, curves)) for panel in left]
    ends.append((right, _scores(right, curves, scale, _evaluated(results))))
    _final_scores(bottom.subplots(), curves, scale)
    label_ends(figure, ends)
    return figure


def metric_figure(run: RunResult, metric: Literal["loss", "acc"]) -> Figure:
    """The loss or the error of one run by epoch, on the training images and on those of the evaluation."""
    figure = Figure(figsize=(WIDTH / 2, 3.6), layout="constrained")
    axes, splits = figure.subplots(), ("train", _evaluated([run]))
    curves = [Curve(split, style(number), [run]) for number, split in enumerate(splits)]
    values = [_values(run, f"{split}/{metric}") for split in splits]
    if metric == "acc":
        values = [[100 * (1 - one) for one in own] for own in values]
        error_axis(axes, "y", _finite([values]))
    else:
        log_axis(axes, "y", _finite([values]))
    label_ends(figure, [(axes, _by_epoch(axes, curves, [[own] for own in values]))])
    return figure


def dead_units_figure(results: Sequence[RunResult]) -> Figure:
    """The share of dead units by epoch: a panel for each network that logged it, with a curve for each layer.

    Raises:
        ValueError: no run logged it.
    """
    networks = [curve for curve in curves_of_networks(results) if layers(curve.runs)]
    if not networks:
        raise ValueError("no run logged its dead units")
    columns = min(3, len(networks))
    rows = math.ceil(len(networks) / columns)
    size = (WIDTH, 4.2 * rows) if len(networks) > 1 else (WIDTH / 2, 3.6)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for panel in axes[len(networks) :]:
        panel.remove()
    axes[0].set_ylabel("dead units")
    label_ends(figure, [(panel, _dead_units(panel, curve)) for panel, curve in zip(axes, networks, strict=False)])
    return figure


def curves_of_networks(results: Sequence[RunResult]) -> list[Curve]:
    """A curve for each network, in their order; a registered one has its own colour in every figure."""
    found = by_arch(results)
    places = {arch: place for place, arch in enumerate(dict.fromkeys([*ARCHITECTURES, *found]))}
    return [Curve(_short(arch), style(places[arch]), own) for arch, own in found.items()]


def layers(runs: Sequence[RunResult]) -> list[str]:
    """The names of the metrics of dead units."""
    return list(dict.fromkeys(name for run in runs for row in run.epochs for name in row if name.startswith(DEAD)))


class Scale(NamedTuple):
    """How scores are drawn: accuracies as errors in per cent, on a log axis, others as they are."""

    judge: Judge

    def drawn(self, score: float) -> float:
        return 100 * (1 - score) if self.judge.in_percent else score

    def name(self, split: str) -> str:
        """Of a drawn score on validation (``val``) or test data."""
        if self.judge.in_percent:
            return "validation error" if split == "val" else "test error"
        return self.judge.metric if split == "val" else self.judge.tested

    def set_axis(self, axes: Axes, which: Literal["x", "y"], found: Sequence[float]) -> None:
        if self.judge.in_percent:
            error_axis(axes, which, found)


def draw_dots(axes: Axes, x: ArrayLike, y: ArrayLike, look: Style) -> None:
    """A dot for each run; a marker of mere lines needs some width."""
    width = 1.8 if look.marker == "x" else 0
    axes.plot(x, y, look.marker, color=look.colour, markersize=5 + width, alpha=0.75, markeredgewidth=width, gid="runs")


def error_axis(axes: Axes, which: Literal["x", "y"], found: Sequence[float]) -> None:
    """A log axis in per cent, up to 100 if a run has collapsed."""
    log_axis(axes, which, found, top=100 if max(found, default=0) > 50 else 0, unit=" %")


def _losses(axes: Axes, curves: Sequence[Curve]) -> list[End]:
    """The training loss by epoch."""
    values = [[_values(run, "train/loss") for run in curve.runs] for curve in curves]
    log_axis(axes, "y", _finite(values))
    axes.set_title(f"training loss{_dotted(curves)}")
    return _by_epoch(axes, curves, values)


def _scores(axes: Axes, curves: Sequence[Curve], scale: Scale, evaluated: str) -> list[End]:
    """The error or score by epoch on the data of the evaluation, ``val`` or ``test``."""
    metric = scale.judge.metric if evaluated == "val" else scale.judge.tested
    values = [[[*map(scale.drawn, _values(run, metric))] for run in curve.runs] for curve in curves]
    scale.set_axis(axes, "y", _finite(values))
    axes.set_title(scale.name(evaluated) + _dotted(curves))
    return _by_epoch(axes, curves, values)


def _final_scores(axes: Axes, curves: Sequence[Curve], scale: Scale) -> None:
    """A row for each curve: a dot for each run, a stroke at the median, and the number of collapsed runs."""
    drawn = [[scale.drawn(run.score) for run in curve.runs if math.isfinite(run.score)] for curve in curves]
    scale.set_axis(axes, "x", [one for own in drawn for one in own])
    for row, (curve, found) in enumerate(zip(curves, drawn, strict=True)):
        beside = np.linspace(-0.25, 0.25, len(found)) if len(found) > 1 else np.zeros(len(found))
        draw_dots(axes, found, row + beside, curve.style)
        if found:
            stroke = [row - 0.38, row + 0.38]
            axes.plot([np.median(found)] * 2, stroke, color=foreground(), linewidth=1.8, gid="medians")
        collapsed = sum(run.failed for run in curve.runs)
        if collapsed:
            note = f"  {collapsed} of {len(curve.runs)} collapsed"
            axes.text(1, row, note, transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks(range(len(curves)), [curve.name for curve in curves])
    title = "final test error" if scale.judge.in_percent else f"final {curves[0].runs[0].score_name}"
    axes.set(ylim=(len(curves) - 0.5, -0.5), title=f"{title} of every run; strokes are medians")
    axes.tick_params(axis="y", length=0)


def _dead_units(axes: Axes, network: Curve) -> list[End]:
    """The share of dead units of a network, a curve for each layer."""
    names = layers(network.runs)
    curves = [
        Curve(name.removeprefix(DEAD), style(len(ARCHITECTURES) + index), network.runs)  # not a network's colour
        for index, name in enumerate(names)
    ]
    axes.set(title=network.name + _dotted(curves), ylim=(-0.04, 1.04))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return _by_epoch(axes, curves, [[_values(run, name) for run in network.runs] for name in names])


def _values(run: RunResult, metric: str) -> list[float]:
    """The metric by epoch: nan where it was not measured, infinite where it was not finite."""
    measured = [row.get(metric) for row in run.epochs]
    return [math.nan if one is None else one if math.isfinite(one) else math.inf for one in measured]


def _by_epoch(axes: Axes, curves: Sequence[Curve], values: Sequence[list[list[float]]]) -> list[End]:
    """A thin line for each run, dotted if it collapsed, and a thick one through the medians of all runs."""
    ends = []
    for curve, runs in zip(curves, values, strict=True):
        look = curve.style
        for run, result in zip(runs, curve.runs, strict=True):
            _line(axes, run, ":" if result.failed else "-", color=look.colour, linewidth=0.8, alpha=0.6, gid="runs")
        table = np.array(list(zip_longest(*runs, fillvalue=math.nan)))
        shown = _line(axes, list(np.median(table, axis=1)), look.line, color=look.colour, linewidth=2.2, gid="medians")
        if shown:
            ends.append(End(curve.name, *shown[-1], look.colour))
            axes.plot(*zip(*shown, strict=True), look.marker, color=look.colour, markersize=5)
    epoch_axis(axes, max(len(run.epochs) for curve in curves for run in curve.runs))
    return ends


def _line(axes: Axes, values: Sequence[float], line: str, **look: Any) -> list[tuple[int, float]]:
    """Draw values by epoch, with gaps at infinite ones but not at those not measured; returns the drawn points."""
    measured = [(epoch, value) for epoch, value in enumerate(values, start=1) if not math.isnan(value)]
    shown = [(epoch, value) for epoch, value in measured if math.isfinite(value)]
    broken = [(epoch, value if math.isfinite(value) else math.nan) for epoch, value in measured]
    if shown:
        axes.plot(*zip(*broken, strict=True), line, marker="." if len(shown) == 1 else "", **look)
    return shown


def _evaluated(results: Sequence[RunResult]) -> str:
    """The images of the evaluation after each epoch."""
    metric = results[0].judge.metric
    return "val" if any(metric in row for result in results for row in result.epochs) else "test"


def _short(name: str) -> str:
    """A network's name, or its end: the dotted name of a user's class begins with its module."""
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :].lstrip('.')}"


def _dotted(curves: Sequence[Curve]) -> str:
    collapsed = [run for curve in curves for run in curve.runs if run.failed]
    return " (dotted: collapsed)" if any(len(run.epochs) > 1 for run in collapsed) else ""


def _finite(values: Sequence[Sequence[Sequence[float]]]) -> list[float]:
    return [one for runs in values for run in runs for one in run if math.isfinite(one)]

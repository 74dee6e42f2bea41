"""The panels of a comparison's figures: each function here fills one."""

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from statistics import median_high
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, PercentFormatter
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike

from convblocks.comparison.outcomes import RunResult
from convblocks.comparison.trials import is_number
from convblocks.evaluation.drawing import End, Style, epoch_axis, ink, log_axis, muted, style
from convblocks.runs.directory import DEAD

# Values that are named along the axes of panels side by side.
MOST_LABELS = 8


class Curve(NamedTuple):
    """Runs that belong together, a network's say, and how they are drawn."""

    name: str
    style: Style
    runs: list[RunResult]


class Interval(NamedTuple):
    """A difference of accuracies, -1..1, and its 95 % interval: infinite where any value may be, nan where unknown."""

    label: str
    estimate: float
    low: float
    high: float
    group: str


def error(run: RunResult) -> float:
    """The final test error in per cent."""
    return 100 * (1 - run.accuracy)


# Against what was swept.


def places_of(values: Sequence[str]) -> dict[str, float]:
    """Where each value of an option is on the horizontal axis: at its logarithm, or else one beside the other."""
    if all(is_number(value) and float(value) > 0 for value in values):
        return {value: math.log10(float(value)) for value in sorted(values, key=float)}
    return {value: float(number) for number, value in enumerate(values)}


def swept_errors(
    axes: Axes, curves: Sequence[Curve], option: str, places: Mapping[str, float], all_errors: Sequence[float]
) -> None:
    """Every run a dot, a little beside its place so that it is seen, and a line through the medians.

    The line goes through runs only: of an even number through the worse of the two in the middle.
    """
    _error_axis(axes, "y", all_errors)
    gaps = np.diff(sorted(places.values()))
    room = 0.45 * (gaps.min() if len(gaps) else 1.0) / len(curves)
    for index, curve in enumerate(curves):
        middle = room * (index - (len(curves) - 1) / 2)
        medians = []
        for value, place in places.items():
            errors = [error(run) for run in curve.runs if dict(run.settings)[option] == value]
            if errors:
                beside = np.linspace(-0.35, 0.35, len(errors)) if len(errors) > 1 else np.zeros(1)
                _dots(axes, place + middle + room * beside, errors, curve.style)
                medians.append((place, median_high(errors)))
        axes.plot(*np.transpose(medians), curve.style.line, color=curve.style.colour, linewidth=1.8, gid="medians")


def collapses(axes: Axes, curves: Sequence[Curve], option: str, places: Mapping[str, float]) -> None:
    """How many runs collapsed, a row for each curve; the stronger the square's colour, the larger their share."""
    for row, curve in enumerate(curves):
        for value, place in places.items():
            here = [run.collapsed for run in curve.runs if dict(run.settings)[option] == value]
            if here:
                count, share = f"{sum(here)}/{len(here)}", sum(here) / len(here)
                colour = (curve.style.colour, 0.6 * share)
                axes.plot(place, row, "s", color=colour, markersize=17, markeredgewidth=0)
                axes.text(place, row, count, ha="center", va="center", color=ink() if share else muted())
    axes.set(ylim=(len(curves) - 0.4, -0.6), yticks=[], title="collapsed", xlabel=option)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)


def name_places(axes: Axes, places: Mapping[str, float], columns: int) -> None:
    """Ticks at the values, with as many of their names as there is room for in one of so many columns."""
    every = math.ceil(len(places) * columns / MOST_LABELS)
    names = ["" if number % every else value for number, value in enumerate(places)]
    axes.xaxis.set_major_locator(FixedLocator(list(places.values())))
    axes.xaxis.set_major_formatter(FixedFormatter(names))


def key(axes: Axes, curves: Sequence[Curve]) -> None:
    """To the left of a strip the name of each row, and the curve's marker."""
    beside = axes.get_yaxis_transform() + ScaledTranslation(-10 / 72, 0, axes.figure.dpi_scale_trans)
    for row, curve in enumerate(curves):
        look = curve.style
        axes.plot(0, row, look.marker, color=look.colour, markersize=7, clip_on=False, transform=beside)
    axes.set_yticks(range(len(curves)), [curve.name for curve in curves])
    axes.tick_params(axis="y", length=0, pad=18)


def intervals(axes: Axes, pairs: Sequence[Interval]) -> None:
    """Estimates as dots, hollow where 0 is in the interval; above each its name, and the numbers in points."""
    finite = [100 * value for pair in pairs for value in pair[1:4] if math.isfinite(value)]
    low, high = min(0.0, *finite), max(0.0, *finite)
    margin = 0.08 * (high - low) or 1.0
    left, right = low - margin, high + margin
    axes.set(xlim=(left, right), ylim=(len(pairs) - 0.6, -0.8), yticks=[])
    axes.axvline(0, color=ink(), linewidth=1)
    for row, pair in enumerate(pairs):
        estimate, low, high = (100 * value for value in pair[1:4])
        if not math.isnan(low):
            axes.plot([max(low, left), min(high, right)], [row, row], color=ink(), linewidth=2, gid="interval")
        if low == -math.inf:
            axes.plot(left, row, "<", color=ink(), clip_on=False)
        if high == math.inf:
            axes.plot(right, row, ">", color=ink(), clip_on=False)
        inside = ink() if low > 0 or high < 0 else rcParams["axes.facecolor"]
        axes.plot(estimate, row, "o", color=ink(), markerfacecolor=inside, markersize=7, gid="estimate")
        _write_above(axes, row, pair.label, _numbers(estimate, low, high))
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _numbers(estimate: float, low: float, high: float) -> str:
    interval = "" if math.isnan(low) else f" [{low:+.2f}, {high:+.2f}]"
    return f"{estimate:+.2f}{interval}".replace("-", "\N{MINUS SIGN}").replace("inf", "\N{INFINITY}")


def _write_above(axes: Axes, row: int, left: str, right: str) -> None:
    """Text at both ends of a row; on paper, or the line at 0 would cross out what it runs through."""
    across = axes.get_yaxis_transform()
    paper = {"facecolor": rcParams["axes.facecolor"], "edgecolor": "none", "pad": 1}
    axes.text(0, row - 0.24, left, ha="left", va="bottom", transform=across, bbox=paper)
    axes.text(1, row - 0.24, right, ha="right", va="bottom", transform=across, bbox=paper)


# By epoch.


def losses(axes: Axes, curves: Sequence[Curve]) -> list[End]:
    """The training loss by epoch."""
    values = [[_values(run, "train/loss") for run in curve.runs] for curve in curves]
    log_axis(axes, "y", _finite(values))
    axes.set_title(f"training loss{_dotted(curves)}")
    return _by_epoch(axes, curves, values)


def errors(axes: Axes, curves: Sequence[Curve], evaluated: str) -> list[End]:
    """The error by epoch on the images that were evaluated, ``val`` or ``test``."""
    accuracies = [[_values(run, f"{evaluated}/acc") for run in curve.runs] for curve in curves]
    values = [[[100 * (1 - one) for one in run] for run in runs] for runs in accuracies]
    _error_axis(axes, "y", _finite(values))
    axes.set_title(("validation error" if evaluated == "val" else "test error") + _dotted(curves))
    return _by_epoch(axes, curves, values)


def final_errors(axes: Axes, curves: Sequence[Curve]) -> None:
    """A row for each curve: every run a dot, the median a stroke, and how many collapsed."""
    _error_axis(axes, "x", [error(run) for curve in curves for run in curve.runs])
    for row, curve in enumerate(curves):
        found = [error(run) for run in curve.runs]
        beside = np.linspace(-0.25, 0.25, len(found)) if len(found) > 1 else np.zeros(1)
        _dots(axes, found, row + beside, curve.style)
        axes.plot([np.median(found)] * 2, [row - 0.38, row + 0.38], color=ink(), linewidth=1.8, gid="medians")
        collapsed = sum(run.collapsed for run in curve.runs)
        if collapsed:
            told = f"  {collapsed} of {len(found)} collapsed"
            axes.text(1, row, told, transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks(range(len(curves)), [curve.name for curve in curves])
    axes.set(ylim=(len(curves) - 0.5, -0.5), title="final test error of every run; strokes are medians")
    axes.tick_params(axis="y", length=0)


def layers(runs: Sequence[RunResult]) -> list[str]:
    """The metrics of the layers whose silent units are counted."""
    return list(dict.fromkeys(name for run in runs for row in run.epochs for name in row if name.startswith(DEAD)))


def silence(axes: Axes, network: Curve) -> list[End]:
    """The share of silent units of a network, a curve for each layer."""
    names = layers(network.runs)
    curves = [Curve(name.removeprefix(DEAD), style(index), network.runs) for index, name in enumerate(names)]
    axes.set(title=network.name + _dotted(curves), ylim=(-0.04, 1.04))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return _by_epoch(axes, curves, [[_values(run, name) for run in network.runs] for name in names])


def _values(run: RunResult, metric: str) -> list[float]:
    """The metric in each epoch: nan where it was not measured, infinite where it was not finite."""
    measured = [row.get(metric) for row in run.epochs]
    return [math.nan if one is None else one if math.isfinite(one) else math.inf for one in measured]


def _by_epoch(axes: Axes, curves: Sequence[Curve], values: Sequence[list[list[float]]]) -> list[End]:
    """Every run a thin line, dotted if it collapsed, and thick the medians of the epochs that all runs have."""
    ends = []
    for curve, runs in zip(curves, values, strict=True):
        look = curve.style
        for run, outcome in zip(runs, curve.runs, strict=True):
            _line(axes, run, ":" if outcome.collapsed else "-", color=look.colour, linewidth=0.8, alpha=0.6, gid="runs")
        table = np.array(list(zip_longest(*runs, fillvalue=math.nan)))
        shown = _line(axes, list(np.median(table, axis=1)), look.line, color=look.colour, linewidth=2.2, gid="medians")
        if shown:
            ends.append(End(curve.name, *shown[-1], look.colour))
            axes.plot(*zip(*shown, strict=True), look.marker, color=look.colour, markersize=5)
    epoch_axis(axes, max(len(run.epochs) for curve in curves for run in curve.runs))
    return ends


def _line(axes: Axes, values: Sequence[float], line: str, **look: Any) -> list[tuple[int, float]]:
    """Draw values by epoch, over those that were not measured and not over infinite ones; returns what is shown."""
    measured = [(epoch, value) for epoch, value in enumerate(values, start=1) if not math.isnan(value)]
    shown = [(epoch, value) for epoch, value in measured if math.isfinite(value)]
    broken = [(epoch, value if math.isfinite(value) else math.nan) for epoch, value in measured]
    if shown:
        axes.plot(*zip(*broken, strict=True), line, marker="." if len(shown) == 1 else "", **look)
    return shown


def _dots(axes: Axes, x: ArrayLike, y: ArrayLike, look: Style) -> None:
    axes.plot(x, y, look.marker, color=look.colour, markersize=5, alpha=0.75, markeredgewidth=0, gid="runs")


def _dotted(curves: Sequence[Curve]) -> str:
    collapsed = [run for curve in curves for run in curve.runs if run.collapsed]
    return " (dotted: collapsed)" if any(len(run.epochs) > 1 for run in collapsed) else ""


def _error_axis(axes: Axes, which: Literal["x", "y"], found: Sequence[float]) -> None:
    """In per cent; where a run has collapsed up to 100."""
    log_axis(axes, which, found, top=100 if max(found) > 50 else 0, unit=" %")


def _finite(values: Sequence[Sequence[Sequence[float]]]) -> list[float]:
    return [one for runs in values for run in runs for one in run if math.isfinite(one)]

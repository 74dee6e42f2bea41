"""The figure of a sweep: test error and collapses against an option, beside differences with their intervals."""

import math
from collections.abc import Mapping, Sequence
from statistics import median_high

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator
from matplotlib.transforms import ScaledTranslation

from convblocks.estimates import Estimate
from convblocks.figures.curves import Curve, curves_of_networks, draw_dots, error_axis, error_of
from convblocks.figures.style import WIDTH, foreground, muted, style
from convblocks.runs.result import Overrides, RunResult, by_overrides
from convblocks.tables import is_number

# Values that are named along the axes of panels side by side.
MOST_LABELS = 8

# Differences of accuracies by the title of their panel and their own name.
Differences = Mapping[str, Mapping[str, Estimate]]


def sweep_figure(swept: Sequence[RunResult], differences: Differences | None = None) -> Figure:
    """Test error against a swept option, and below it the collapsed runs; beside it the differences, if any.

    The option is the learning rate, or another one if that was not swept. Each network is a curve, and each combination
    of the other swept options a panel; of a single network these are the curves.
    """
    option, others = _swept_options(swept)
    curves = _curves(swept, others)
    rows, lines = math.ceil(len(curves) / 2), sum(map(len, (differences or {}).values()))
    figure = Figure(figsize=(WIDTH, max(6.0 * rows, 1.0 * lines)), layout="constrained")
    if not differences:
        _sweep(figure, curves, option)
        return figure
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2), wspace=0.05, squeeze=False)[0]
    _sweep(left, curves, option)
    _differences(right, differences)
    return figure


def _swept_options(results: Sequence[RunResult]) -> tuple[str, list[str]]:
    """The option for the horizontal axis, and the others with several values."""
    values: dict[str, set[str]] = {}
    for result in results:
        for option, value in result.overrides:
            values.setdefault(option, set()).add(value)
    varied = [option for option, found in values.items() if len(found) > 1] or list(values)[-1:]
    numeric = [option for option in varied if all(map(is_number, values[option]))]
    chosen = "lr" if "lr" in varied else (numeric or varied)[0]
    return chosen, [option for option in varied if option != chosen]


def _curves(results: Sequence[RunResult], others: Sequence[str]) -> dict[str, list[Curve]]:
    """The curves of each panel, by its title."""

    def rest(settings: Overrides) -> str:
        return ", ".join(f"{option}={value}" for option, value in settings if option in others)

    points: dict[str, list[RunResult]] = {}
    for settings, here in by_overrides(results).items():
        points.setdefault(rest(settings), []).extend(here)
    networks = curves_of_networks(results)
    if len(networks) == 1:
        curves = [Curve(name, style(index), own) for index, (name, own) in enumerate(points.items())]
        return {networks[0].name: curves}
    return {
        title: [curve._replace(runs=own) for curve in networks if (own := [run for run in curve.runs if run in here])]
        for title, here in points.items()
    }


def _sweep(figure: Figure | SubFigure, curves: dict[str, list[Curve]], option: str) -> None:
    columns = min(2, len(curves))
    rows = math.ceil(len(curves) / columns)
    strip = 0.35 + 0.3 * max(map(len, curves.values()))
    axes = figure.subplots(2 * rows, columns, sharex=True, squeeze=False, height_ratios=(4.4, strip) * rows)
    runs = [run for own in curves.values() for curve in own for run in curve.runs]
    positions = _positions(list(dict.fromkeys(dict(run.overrides)[option] for run in runs)))
    errors = [error_of(run) for run in runs]
    for number, (title, own) in enumerate(curves.items()):
        row, column = divmod(number, columns)
        above, below = axes[2 * row : 2 * row + 2, column]
        _swept_errors(above, own, option, positions, errors)
        _collapses(below, own, option, positions)
        _label_positions(below, positions, columns)
        above.set_title(title)
        if column:
            above.tick_params(labelleft=False)
        else:
            above.set_ylabel("test error")
            _key(below, own)
    for panel in axes.flat[2 * len(curves) :]:
        panel.remove()


def _positions(values: Sequence[str]) -> dict[str, float]:
    """The position of each value of an option: its logarithm or, if some are no positive numbers, its index."""
    if all(is_number(value) and float(value) > 0 for value in values):
        return {value: math.log10(float(value)) for value in sorted(values, key=float)}
    return {value: float(number) for number, value in enumerate(values)}


def _swept_errors(
    axes: Axes, curves: Sequence[Curve], option: str, positions: Mapping[str, float], all_errors: Sequence[float]
) -> None:
    """A dot for each run, and a line through the medians: of an even number the worse of the middle two."""
    error_axis(axes, "y", all_errors)
    gaps = np.diff(sorted(positions.values()))
    room = 0.45 * (gaps.min() if len(gaps) else 1.0) / len(curves)
    for index, curve in enumerate(curves):
        middle = room * (index - (len(curves) - 1) / 2)
        medians = []
        for value, position in positions.items():
            errors = [error_of(run) for run in curve.runs if dict(run.overrides)[option] == value]
            if errors:
                beside = np.linspace(-0.35, 0.35, len(errors)) if len(errors) > 1 else np.zeros(1)
                draw_dots(axes, position + middle + room * beside, errors, curve.style)
                medians.append((position, median_high(errors)))
        axes.plot(*np.transpose(medians), curve.style.line, color=curve.style.colour, linewidth=1.8, gid="medians")


def _collapses(axes: Axes, curves: Sequence[Curve], option: str, positions: Mapping[str, float]) -> None:
    """The number of collapsed runs, a row for each curve; the colour of the square shows their share."""
    for row, curve in enumerate(curves):
        for value, position in positions.items():
            here = [run.collapsed for run in curve.runs if dict(run.overrides)[option] == value]
            if here:
                count, share = f"{sum(here)}/{len(here)}", sum(here) / len(here)
                colour = (curve.style.colour, 0.6 * share)
                axes.plot(position, row, "s", color=colour, markersize=17, markeredgewidth=0)
                axes.text(position, row, count, ha="center", va="center", color=foreground() if share else muted())
    axes.set(ylim=(len(curves) - 0.4, -0.6), yticks=[], title="collapsed", xlabel=option)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)


def _label_positions(axes: Axes, positions: Mapping[str, float], columns: int) -> None:
    """Ticks at the values, with as many labels as fit into one of so many columns."""
    every = math.ceil(len(positions) * columns / MOST_LABELS)
    names = ["" if number % every else value for number, value in enumerate(positions)]
    axes.xaxis.set_major_locator(FixedLocator(list(positions.values())))
    axes.xaxis.set_major_formatter(FixedFormatter(names))


def _key(axes: Axes, curves: Sequence[Curve]) -> None:
    """The name and marker of each curve, left of its row."""
    beside = axes.get_yaxis_transform() + ScaledTranslation(-10 / 72, 0, axes.figure.dpi_scale_trans)
    for row, curve in enumerate(curves):
        look = curve.style
        axes.plot(0, row, look.marker, color=look.colour, markersize=7, clip_on=False, transform=beside)
    axes.set_yticks(range(len(curves)), [curve.name for curve in curves])
    axes.tick_params(axis="y", length=0, pad=18)


def _differences(figure: SubFigure, differences: Differences) -> None:
    """A panel for each group, on its own scale."""
    axes = figure.subplots(
        len(differences), 1, squeeze=False, height_ratios=[0.5 + len(own) for own in differences.values()]
    )
    for panel, (title, own) in zip(np.ravel(axes), differences.items(), strict=True):
        _intervals(panel, own)
        panel.set_title(title)
    panel.set_xlabel("difference in points of accuracy")


def _intervals(axes: Axes, differences: Mapping[str, Estimate]) -> None:
    """A dot for each estimate, hollow if 0 is in its interval; above it its name and the numbers in points."""
    values = [100 * value for one in differences.values() for value in (one.value, one.low, one.high)]
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(0.0, *finite), max(0.0, *finite)
    margin = 0.08 * (high - low) or 1.0
    left, right = low - margin, high + margin
    axes.set(xlim=(left, right), ylim=(len(differences) - 0.6, -0.8), yticks=[])
    axes.axvline(0, color=foreground(), linewidth=1)
    for row, (name, one) in enumerate(differences.items()):
        low, high = 100 * one.low, 100 * one.high
        if not math.isnan(low):
            axes.plot([max(low, left), min(high, right)], [row, row], color=foreground(), linewidth=2, gid="interval")
        if low == -math.inf:
            axes.plot(left, row, "<", color=foreground(), clip_on=False)
        if high == math.inf:
            axes.plot(right, row, ">", color=foreground(), clip_on=False)
        inside = foreground() if low > 0 or high < 0 else rcParams["axes.facecolor"]
        axes.plot(100 * one.value, row, "o", color=foreground(), markerfacecolor=inside, markersize=7, gid="estimate")
        _write_above(axes, row, name, f"{one:+}".replace("-", "\N{MINUS SIGN}"))
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _write_above(axes: Axes, row: int, left: str, right: str) -> None:
    """Text at both ends of a row, on a background that hides the line at 0."""
    across = axes.get_yaxis_transform()
    background = {"facecolor": rcParams["axes.facecolor"], "edgecolor": "none", "pad": 1}
    axes.text(0, row - 0.24, left, ha="left", va="bottom", transform=across, bbox=background)
    axes.text(1, row - 0.24, right, ha="right", va="bottom", transform=across, bbox=background)

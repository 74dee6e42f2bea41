"""The figure of a sweep: error, or another score, against an option."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from convblocks.compare.results import by_overrides, is_number
from convblocks.figures.curves import Curve, Scale, curves_of_networks, draw_dots
from convblocks.figures.style import WIDTH, End, label_ends, style
from convblocks.run.result import Overrides, RunResult

# Values that are named along the axes of panels side by side.
MOST_LABELS = 8


def sweep_figure(swept: Sequence[RunResult], titles: Mapping[str, str] | None = None) -> Figure:
    """Error against a swept option: on validation images if all runs have them, else on test images.

    The option is the learning rate, or another one if that was not swept. Each network is a curve, and each combination
    of the other swept options a panel, such as ``lr_scheduler=constant``; of a single network these are the curves.
    ``titles`` has other words for panels.
    """
    option, others = _swept_options(swept)
    curves = _curves(swept, others)
    figure = Figure(figsize=(WIDTH, 5.0 * math.ceil(len(curves) / 2)), layout="constrained")
    _sweep(figure, curves, option, titles or {})
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


def _sweep(figure: Figure, curves: dict[str, list[Curve]], option: str, titles: Mapping[str, str]) -> None:
    columns = min(2, len(curves))
    axes = figure.subplots(math.ceil(len(curves) / columns), columns, sharex=True, sharey=True, squeeze=False)
    runs = [run for own in curves.values() for curve in own for run in curve.runs]
    scale = Scale(runs[0].judge)
    positions = _positions(list(dict.fromkeys(dict(run.overrides)[option] for run in runs)))
    is_validated = all(run.validation is not None for run in runs)
    crossed = " (x: collapsed)" if any(run.failed for run in runs) else ""
    for panel in axes[:, 0]:
        panel.set_ylabel(f"{scale.name('val' if is_validated else 'test')}{crossed}")
    panels = []
    for panel, (title, own) in zip(axes.flat, curves.items(), strict=False):
        panels.append((panel, _errors(panel, own, option, positions, is_validated)))
        _label_positions(panel, positions, columns)
        panel.set_title(titles.get(title, title))
        panel.set_xlabel(option)
    scale.set_axis(axes[0, 0], "y", [_error(run, is_validated) for run in runs])
    for panel in axes.flat[len(curves) :]:
        panel.remove()
    label_ends(figure, panels)


def _positions(values: Sequence[str]) -> dict[str, float]:
    """The position of each value of an option: its logarithm or, if some are no positive numbers, its index."""
    if all(is_number(value) and float(value) > 0 for value in values):
        return {value: math.log10(float(value)) for value in sorted(values, key=float)}
    return {value: float(number) for number, value in enumerate(values)}


def _errors(
    axes: Axes, curves: Sequence[Curve], option: str, positions: Mapping[str, float], is_validated: bool
) -> list[End]:
    """A dot for each run, a cross for one that collapsed, and a line through the medians of all runs."""
    gaps = np.diff(sorted(positions.values()))
    room, ends = 0.45 * (gaps.min() if len(gaps) else 1.0) / len(curves), []
    for index, curve in enumerate(curves):
        middle = room * (index - (len(curves) - 1) / 2)
        medians = []
        for value, position in positions.items():
            here = [run for run in curve.runs if dict(run.overrides)[option] == value]
            beside = np.linspace(-0.35, 0.35, len(here)) if len(here) > 1 else np.zeros(1)
            for run, place in zip(here, position + middle + room * beside, strict=False):
                look = curve.style._replace(marker="x") if run.failed else curve.style
                draw_dots(axes, [place], [_error(run, is_validated)], look)
            if here:
                medians.append((position, float(np.median([_error(run, is_validated) for run in here]))))
        axes.plot(*np.transpose(medians), curve.style.line, color=curve.style.colour, linewidth=1.8, gid="medians")
        ends.append(End(curve.name, *medians[-1], curve.style.colour))
    return ends


def _error(run: RunResult, is_validated: bool) -> float:
    """As it is drawn, on the data by which settings are chosen."""
    return Scale(run.judge).drawn(run.score if run.validation is None or not is_validated else run.validation)


def _label_positions(axes: Axes, positions: Mapping[str, float], columns: int) -> None:
    """Ticks at the values, with as many labels as fit into one of so many columns."""
    every = math.ceil(len(positions) * columns / MOST_LABELS)
    names = ["" if number % every else value for number, value in enumerate(positions)]
    axes.xaxis.set_major_locator(FixedLocator(list(positions.values())))
    axes.xaxis.set_major_formatter(FixedFormatter(names))

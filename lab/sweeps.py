"""The figure of a grid of learning rates or other options: the error of every run, and
the means at each value.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convblocks.compare.figure import MEANS, curves_of_networks, draw_runs
from convblocks.figures.curves import LOG_SCALE, Curve, Scale
from convblocks.figures.grouping import grouped
from convblocks.figures.style import LETTERS, WIDTH, End, label_ends
from convblocks.run.result import RunResult
from lab.results import is_number, option_values

# Options in words.
OPTIONS = {"lr": f"learning rate{LOG_SCALE}"}


def sweep_figure(swept: Sequence[RunResult], titles: Mapping[str, str] | None = None) -> Figure:
    """Error against a swept option: on validation images if all runs have them, else on
    test images.

    The option is the learning rate, or another one if that was not swept. Each network
    is a curve, and each combination of the other swept options a panel, such as
    ``lr_scheduler=constant``. ``titles`` has other words for panels.
    """
    values = option_values(swept, least=2)
    option = _horizontal(values)
    positions = positions_of(values.pop(option))
    scale = Scale(swept[0].judged_by)
    split = "val" if all(run.validation is not None for run in swept) else "test"

    def setting(run: RunResult) -> str:
        return ", ".join(f"{other}={value}" for other, value in run.overrides if other in values)

    def error(run: RunResult) -> float:
        return scale.drawn(
            run.validation if split == "val" and run.validation is not None else run.score
        )

    panels = [*grouped(swept, setting)]
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH, 5.0 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    every = math.ceil(len(positions) * columns / 12)  # as many names as fit side by side
    names = ["" if number % every else value for number, value in enumerate(positions)]
    ends = []
    for panel, title in zip(axes.flat, panels, strict=False):
        curves = _curves_at(title, setting, swept)
        ends.append((panel, draw_sweep(panel, curves, option, positions, error)))
        panel.set_xticks([*positions.values()], names)
        panel.set(title=(titles or {}).get(title, title), xlabel=OPTIONS.get(option, option))
    for panel in axes[:, 0]:
        panel.set_ylabel(scale.name(split))
    scale.set_axis(axes[0, 0], "y", [*map(error, swept)])
    for panel in axes.flat[len(panels) :]:
        panel.remove()
    crosses = " (x: collapsed)" * any(run.failed for run in swept)
    figure.supxlabel(f"marks: runs, side by side{crosses}; lines: {MEANS}", fontsize=LETTERS)
    label_ends(figure, ends)
    return figure


def _horizontal(values: Mapping[str, Sequence[str]]) -> str:
    """The option on the x axis: the learning rate, else the first of numbers, or the first."""
    if "lr" in values:
        return "lr"
    numeric = [option for option, found in values.items() if all(map(is_number, found))]
    return [*numeric, *values][0]


def _curves_at(
    title: str, setting: Callable[[RunResult], str], swept: Sequence[RunResult]
) -> list[Curve]:
    """The curves of the networks that were trained at a setting, with these runs."""
    curves = [
        curve._replace(runs=[run for run in curve.runs if setting(run) == title])
        for curve in curves_of_networks(swept)
    ]
    return [curve for curve in curves if curve.runs]


def positions_of(values: Sequence[str]) -> dict[str, float]:
    """The position of each value of an option: its logarithm or, if some are no
    positive numbers, its index.
    """
    if all(is_number(value) and float(value) > 0 for value in values):
        return {value: math.log10(float(value)) for value in values}
    return {value: float(number) for number, value in enumerate(values)}


def draw_sweep(
    axes: Axes,
    curves: Sequence[Curve],
    option: str,
    positions: Mapping[str, float],
    error: Callable[[RunResult], float],
) -> list[End]:
    """A mark for each run, side by side, and a line that has gaps where no run trained."""
    gaps = np.diff([*positions.values()])
    room = 0.45 * gaps.min() / len(curves)
    ends = []
    for index, (name, look, runs) in enumerate(curves):
        middle = room * (index - (len(curves) - 1) / 2)
        points = []
        for value, here in grouped(runs, lambda run: dict(run.overrides)[option]).items():
            side_by_side = np.linspace(-0.35, 0.35, len(here)) * (len(here) > 1)
            beside = positions[value] + middle + room * side_by_side
            draw_runs(axes, here, beside, map(error, here), look)
            trained = [error(run) for run in here if not run.failed]
            points.append((positions[value], float(np.mean(trained)) if trained else math.nan))
        points.sort()
        axes.plot(
            *np.transpose(points),
            ls=look.line,
            marker=".",
            color=look.colour,
            linewidth=1.8,
            gid="means",
        )
        reached = [point for point in points if not math.isnan(point[1])]
        last = reached[-1] if reached else (points[-1][0], error(runs[-1]))
        ends.append(End(name, *last, look.colour))
    return ends

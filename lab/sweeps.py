"""The figure of a choice of learning rates: the error of every run, and the means at
each rate.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convblocks.compare.figure import MEANS, curves_of_networks, draw_runs
from convblocks.figures.curves import LOG_SCALE, Curve, Scale
from convblocks.figures.grouping import grouped
from convblocks.figures.style import LETTERS, WIDTH, End, label_ends
from convblocks.record.result import RunResult
from lab.results import rate_of

# The name of the x axis.
RATE = f"learning rate{LOG_SCALE}"


def sweep_figure(choosing: Sequence[RunResult], titles: Mapping[str, str]) -> Figure:
    """Error on held-out images against the learning rate: a curve for each network, a
    panel for each schedule.

    ``titles`` has other words for panels than ``lr_scheduler=constant``.
    """
    positions = positions_of(map(rate_of, choosing))
    scale = Scale(choosing[0].judged_by)

    def error(run: RunResult) -> float:
        return scale.drawn(run.validation or 0.0)

    panels = grouped(choosing, lambda run: dict(run.overrides)["lr_scheduler"])
    figure = Figure(figsize=(WIDTH, 5.0), layout="constrained")
    (axes,) = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)
    # As many names as fit side by side.
    every = math.ceil(len(positions) * len(panels) / 12)
    names = ["" if number % every else rate for number, rate in enumerate(positions)]
    ends = []
    for panel, (schedule, runs) in zip(axes, panels.items(), strict=True):
        drawn = draw_sweep(panel, curves_of_networks(runs), positions, error)
        ends.append((panel, drawn))
        panel.set_xticks([*positions.values()], names)
        title = f"lr_scheduler={schedule}"
        panel.set(title=titles.get(title, title), xlabel=RATE)
    axes[0].set_ylabel(scale.name("val"))
    scale.set_axis(axes[0], "y", [*map(error, choosing)])
    crosses = " (x: collapsed)" if any(run.failed for run in choosing) else ""
    figure.supxlabel(f"marks: runs, side by side{crosses}; lines: {MEANS}", fontsize=LETTERS)
    label_ends(figure, ends)
    return figure


def positions_of(rates: Iterable[str]) -> dict[str, float]:
    """The position of each learning rate, its logarithm, in ascending order."""
    return {rate: math.log10(float(rate)) for rate in sorted(set(rates), key=float)}


def draw_sweep(
    axes: Axes,
    curves: Sequence[Curve],
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
        for value, here in grouped(runs, rate_of).items():
            side_by_side = np.linspace(-0.35, 0.35, len(here)) * (len(here) > 1)
            beside = positions[value] + middle + room * side_by_side
            draw_runs(axes, here, beside, map(error, here), look)
            trained = [error(run) for run in here if not run.failed]
            mean = float(np.mean(trained)) if trained else math.nan
            points.append((positions[value], mean))
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

"""The figures of a comparison: runs by epoch with their final scores, or scores against an option that was swept.

Lines and strokes are the means of the runs that trained, as in the tables; every run is drawn, collapsed ones too.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convblocks.compare.analysis import is_number, option_values, summarise
from convblocks.figures.curves import Curve, Scale, draw_by_epoch, evaluated, finite, short, values_of
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.style import LETTERS, WIDTH, End, Style, foreground, label_ends, log_axis, style
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.result import RunResult

MEANS = "means of the runs that trained"


def comparison_figure(results: Sequence[RunResult]) -> Figure:
    """Training loss, if it is known, and error or score by epoch, if there are several, and every run's final one."""
    curves, scale = curves_of_networks(results), Scale(results[0].judge)
    heights = (4.2, 1.1 + 0.45 * len(curves))
    if max(sum(map(math.isfinite, run.scores)) for run in results) < 3:  # no curve
        figure = Figure(figsize=(WIDTH, heights[1]), layout="constrained")
        _final_scores(figure.subplots(), curves, scale)
        return figure
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    split = evaluated(results)
    metrics = {scale.name(split): scale.judge.metric if split == "val" else scale.judge.tested}
    if all("train/loss" in row for run in results for row in run.epochs):
        metrics = {"training loss": "train/loss"} | metrics
    ends = []
    for panel, (title, metric) in zip(np.ravel(top.subplots(1, len(metrics))), metrics.items(), strict=True):
        drawn = float if metric == "train/loss" else scale.drawn
        values = [[[*map(drawn, values_of(run, metric))] for run in curve.runs] for curve in curves]
        shown = finite([line for own in values for line in own])
        if metric == "train/loss":
            log_axis(panel, "y", shown)
        else:
            scale.set_axis(panel, "y", shown)
        panel.set_title(title)
        ends.append((panel, draw_by_epoch(panel, curves, values, of_trained=True)))
    dotted = "; dotted: runs that collapsed" * any(run.failed for run in results)
    top.supxlabel(f"thick lines: {MEANS}{dotted}", fontsize=LETTERS)
    _final_scores(bottom.subplots(), curves, scale)
    label_ends(figure, ends)
    return figure


def _final_scores(axes: Axes, curves: Sequence[Curve], scale: Scale) -> None:
    """A row for each curve: a mark for each run, the mean with its interval, and the number of collapsed runs."""
    means = [summarise(curve.runs).score for curve in curves]
    scores = [run.score for curve in curves for run in curve.runs] + [mean.low for mean in means if mean]
    scale.set_axis(axes, "x", [*map(scale.drawn, filter(math.isfinite, scores))])
    for row, (curve, mean) in enumerate(zip(curves, means, strict=True)):
        runs = [run for run in curve.runs if math.isfinite(run.score)]
        beside = row + np.linspace(-0.25, 0.25, len(runs)) * (len(runs) > 1)
        _draw_runs(axes, runs, [scale.drawn(run.score) for run in runs], beside, curve.style)
        if mean:
            ends = [scale.drawn(mean.low), scale.drawn(mean.high)]
            axes.plot([scale.drawn(mean.value)] * 2, [row - 0.38, row + 0.38], color=foreground(), gid="means")
            axes.plot(ends, [row, row], color=foreground(), gid="intervals")
        if collapsed := sum(run.failed for run in curve.runs):
            note = f"  {collapsed} of {len(curve.runs)} collapsed"
            axes.text(1, row, note, transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks(range(len(curves)), [curve.name for curve in curves])
    name = "test error" if scale.judge.in_percent else curves[0].runs[0].score_name
    axes.set(ylim=(len(curves) - 0.5, -0.5), title=f"final {name} of every run")
    axes.set_xlabel(f"strokes: {MEANS}, with 95 % intervals")
    axes.tick_params(axis="y", length=0)


def sweep_figure(swept: Sequence[RunResult], titles: Mapping[str, str] | None = None) -> Figure:
    """Error against a swept option: on validation images if all runs have them, else on test images.

    The option is the learning rate, or another one if that was not swept. Each network is a curve, and each combination
    of the other swept options a panel, such as ``lr_scheduler=constant``. ``titles`` has other words for panels.
    """
    values, scale = option_values(swept, least=2), Scale(swept[0].judge)
    numeric = [option for option, found in values.items() if all(map(is_number, found))]
    option = "lr" if "lr" in values else [*numeric, *values][0]
    positions = _positions(values.pop(option))
    split = "val" if all(run.validation is not None for run in swept) else "test"

    def setting(run: RunResult) -> str:
        return ", ".join(f"{other}={value}" for other, value in run.overrides if other in values)

    def error(run: RunResult) -> float:
        return scale.drawn(run.validation if split == "val" and run.validation is not None else run.score)

    panels, curves, ends = list(dict.fromkeys(map(setting, swept))), curves_of_networks(swept), []
    columns = min(2, len(panels))
    figure = Figure(figsize=(WIDTH, 5.0 * math.ceil(len(panels) / 2)), layout="constrained")
    axes = figure.subplots(math.ceil(len(panels) / columns), columns, sharex=True, sharey=True, squeeze=False)
    every = math.ceil(len(positions) * columns / 8)  # as many names as fit side by side
    names = ["" if number % every else value for number, value in enumerate(positions)]
    for panel, title in zip(axes.flat, panels, strict=False):
        own = [curve._replace(runs=[run for run in curve.runs if setting(run) == title]) for curve in curves]
        ends.append((panel, _draw_sweep(panel, [curve for curve in own if curve.runs], option, positions, error)))
        panel.set_xticks([*positions.values()], names)
        panel.set(title=(titles or {}).get(title, title), xlabel=option)
    for panel in axes[:, 0]:
        panel.set_ylabel(scale.name(split))
    scale.set_axis(axes[0, 0], "y", [*map(error, swept)])
    for panel in axes.flat[len(panels) :]:
        panel.remove()
    crosses = " (x: collapsed)" * any(run.failed for run in swept)
    figure.supxlabel(f"marks: runs, side by side{crosses}; lines: {MEANS}", fontsize=LETTERS)
    label_ends(figure, ends)
    return figure


def curves_of_networks(results: Sequence[RunResult]) -> list[Curve]:
    """A curve for each network, in their order; a registered one has its own colour in every figure."""
    found = by_arch(results)
    places = {arch: place for place, arch in enumerate(dict.fromkeys([*ARCHITECTURES, *found]))}
    return [Curve(short(arch), style(places[arch]), own) for arch, own in found.items()]


def _positions(values: Sequence[str]) -> dict[str, float]:
    """The position of each value of an option: its logarithm or, if some are no positive numbers, its index."""
    if all(is_number(value) and float(value) > 0 for value in values):
        return {value: math.log10(float(value)) for value in values}
    return {value: float(number) for number, value in enumerate(values)}


def _draw_sweep(
    axes: Axes,
    curves: Sequence[Curve],
    option: str,
    positions: Mapping[str, float],
    error: Callable[[RunResult], float],
) -> list[End]:
    """A mark for each run, and a line that has gaps where no run trained."""
    gaps = np.diff([*positions.values()])
    room, ends = 0.45 * gaps.min() / len(curves), []
    for index, (name, look, runs) in enumerate(curves):
        middle, points = room * (index - (len(curves) - 1) / 2), []
        for value, here in grouped(runs, lambda run: dict(run.overrides)[option]).items():
            beside = positions[value] + middle + room * np.linspace(-0.35, 0.35, len(here)) * (len(here) > 1)
            _draw_runs(axes, here, beside, [*map(error, here)], look)
            trained = [error(run) for run in here if not run.failed]
            points.append((positions[value], float(np.mean(trained)) if trained else math.nan))
        points.sort()
        axes.plot(*np.transpose(points), look.line, marker=".", color=look.colour, linewidth=1.8, gid="means")
        reached = [point for point in points if not math.isnan(point[1])]
        ends.append(End(name, *(reached or [(points[-1][0], error(runs[-1]))])[-1], look.colour))
    return ends


def _draw_runs(axes: Axes, runs: Sequence[RunResult], x: Iterable[float], y: Iterable[float], look: Style) -> None:
    """A dot for each run, a cross for one that collapsed."""
    points = list(zip(runs, x, y, strict=True))
    for failed, marker, width in ((False, look.marker, 0.0), (True, "x", 1.8)):
        if shown := [point for run, *point in points if run.failed == failed]:
            (marks,) = axes.plot(*zip(*shown, strict=True), marker, color=look.colour, alpha=0.75, gid="runs")
            marks.set(markersize=5 + width, markeredgewidth=width)

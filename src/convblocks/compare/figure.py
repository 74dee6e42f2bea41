"""The figure of a comparison: runs by epoch with their final scores, or those at each
setting of a grid.

Lines and strokes are the means of the runs that trained, as in the tables; every run is
drawn, collapsed ones too.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convblocks.compare.analysis import summarise
from convblocks.compare.trials import settings_text
from convblocks.figures.curves import (
    Curve,
    Scale,
    draw_by_epoch,
    evaluated,
    finite,
    short,
    values_of,
)
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.style import LETTERS, WIDTH, Style, foreground, label_ends, log_axis, style
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.result import RunResult

MEANS = "means of the runs that trained"


def comparison_figure(
    results: Sequence[RunResult], swept: Sequence[str] = (), finding: str = ""
) -> Figure:
    """Training loss, if it is known, and error or score by epoch, from three on, and
    every run's final one.

    Of a grid, whose ``swept`` options are given, only the final ones at each setting.
    Above stands the ``finding``.
    """
    curves, scale = curves_of_networks(results, swept), Scale(results[0].judge)
    heights = (4.2, 1.1 + 0.45 * len(curves))
    if swept or max(len(run.epochs) for run in results) < 3:  # no curve
        figure = Figure(figsize=(WIDTH, heights[1]), layout="constrained")
        _final_scores(figure.subplots(), curves, scale)
        figure.axes[0].set_title(finding, wrap=True)
        return figure
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    split = evaluated(results)
    metrics = {scale.name(split): scale.judge.metric if split == "val" else scale.judge.tested}
    if all("train/loss" in row for run in results for row in run.epochs):
        metrics = {"training loss": "train/loss"} | metrics
    ends = []
    for panel, (name, metric) in zip(
        np.ravel(top.subplots(1, len(metrics))), metrics.items(), strict=True
    ):
        drawn = float if metric == "train/loss" else scale.drawn
        values = [[[*map(drawn, values_of(run, metric))] for run in curve.runs] for curve in curves]
        shown = finite([line for own in values for line in own])
        if metric == "train/loss":
            log_axis(panel, "y", shown)
        else:
            scale.set_axis(panel, "y", shown)
        panel.set_ylabel(name)
        ends.append((panel, draw_by_epoch(panel, curves, values, of_trained=True)))
    figure.axes[0].set_title(finding, wrap=True)
    dotted = "; dotted: runs that collapsed" * any(run.failed for run in results)
    top.supxlabel(f"thick lines: {MEANS}{dotted}", fontsize=LETTERS)
    _final_scores(bottom.subplots(), curves, scale)
    label_ends(figure, ends)
    return figure


def _final_scores(axes: Axes, curves: Sequence[Curve], scale: Scale) -> None:
    """A row for each curve: a mark for each run, the mean with its interval, and the
    number of collapsed runs.
    """
    means = [summarise(curve.runs).score for curve in curves]
    scores = [run.score for curve in curves for run in curve.runs] + [
        mean.low for mean in means if mean
    ]
    scale.set_axis(axes, "x", [*map(scale.drawn, filter(math.isfinite, scores))])
    for row, (curve, mean) in enumerate(zip(curves, means, strict=True)):
        runs = [run for run in curve.runs if math.isfinite(run.score)]
        beside = row + np.linspace(-0.25, 0.25, len(runs)) * (len(runs) > 1)
        draw_runs(axes, runs, [scale.drawn(run.score) for run in runs], beside, curve.style)
        if mean:
            ends = [scale.drawn(mean.low), scale.drawn(mean.high)]
            axes.plot(
                [scale.drawn(mean.value)] * 2,
                [row - 0.38, row + 0.38],
                color=foreground(),
                gid="means",
            )
            axes.plot(ends, [row, row], color=foreground(), gid="intervals")
        if collapsed := sum(run.failed for run in curve.runs):
            note = f"  {collapsed} of {len(curve.runs)} collapsed"
            axes.text(1, row, note, transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks(range(len(curves)), [curve.name for curve in curves])
    name = "test error" if scale.judge.in_percent else curves[0].runs[0].score_name
    axes.set(ylim=(len(curves) - 0.5, -0.5))
    axes.set_xlabel(f"final {name} of every run; strokes: {MEANS}, with 95 % intervals")
    axes.tick_params(axis="y", length=0)


def curves_of_networks(results: Sequence[RunResult], swept: Sequence[str] = ()) -> list[Curve]:
    """A curve for each network, in their order, at each setting of the ``swept`` options.

    A registered network has its own colour in every figure.
    """
    networks = by_arch(results)
    places = {arch: place for place, arch in enumerate(dict.fromkeys([*ARCHITECTURES, *networks]))}

    def name(run: RunResult) -> str:
        return (
            f"{short(run.arch)}\n{settings_text(run.overrides, swept)}"
            if swept
            else short(run.arch)
        )

    return [
        Curve(title, style(places[arch]), curve)
        for arch, runs in networks.items()
        for title, curve in grouped(runs, name).items()
    ]


def draw_runs(
    axes: Axes, runs: Sequence[RunResult], x: Iterable[float], y: Iterable[float], look: Style
) -> None:
    """A dot for each run, a cross for one that collapsed."""
    points = list(zip(runs, x, y, strict=True))
    for failed, marker, width in ((False, look.marker, 0.0), (True, "x", 1.8)):
        if shown := [point for run, *point in points if run.failed == failed]:
            (marks,) = axes.plot(
                *zip(*shown, strict=True), marker, color=look.colour, alpha=0.75, gid="runs"
            )
            marks.set(
                markersize=5 + width, markeredgewidth=width, zorder=3
            )  # above means and intervals

"""The figure of a comparison: runs by epoch with their final scores, or those at each
setting of a grid.

Lines and strokes are the means of the runs that trained, as in the tables; every run is
drawn, collapsed ones too.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, count
from textwrap import fill

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from convblocks.compare.analysis import summarise
from convblocks.compare.trials import settings_text
from convblocks.figures.curves import (
    LOG_SCALE,
    LONGEST_NAME,
    LOSS,
    Curve,
    Scale,
    draw_by_epoch,
    evaluated,
    finite,
    wrapped,
)
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.style import (
    LETTERS,
    OTHERS,
    WIDTH,
    End,
    Style,
    foreground,
    label_ends,
    style,
)
from convblocks.model.names import RECORDS
from convblocks.record.result import Results, RunResult

MEANS = "means of the runs that trained"

# Longer names have several lines in a narrow figure.
NARROW_NAME = 14


def comparison_figure(
    results: Results, swept: Sequence[str] = (), finding: str = "", width: float = WIDTH
) -> Figure:
    """Training loss, if it is known, and error or score by epoch, from three on, and
    every run's final one.

    Of a grid, whose ``swept`` options are given, only the final ones at each setting.
    Above stands the ``finding``. In a narrow figure the panels stand below each other.
    """
    curves = curves_of_networks(results, swept, LONGEST_NAME if width == WIDTH else NARROW_NAME)
    scale = Scale(results[0].judged_by)
    lines = max(curve.name.count("\n") + 2 for curve in curves)
    height = 1.3 + max(0.45, 0.2 * lines) * len(curves)
    figure = Figure(figsize=(width, height), layout="constrained")
    below: Figure | SubFigure = figure
    ends = []
    if not swept and max(len(run.epochs) for run in results) >= 3:
        heights = (4.2 if width == WIDTH else 7.0, height)
        figure.set_figheight(sum(heights))
        top, below = figure.subfigures(2, 1, height_ratios=heights, squeeze=False).flat
        ends = _by_epoch(top, results, curves, scale)
    _final_scores(below.subplots(), curves, scale)
    _explain(below, f"marks: runs; strokes: {MEANS}, with 95 % intervals")
    # Names of arms and metrics may hold dollar signs, which are no formulas.
    # parse_math is not heeded where lines are wrapped.
    figure.axes[0].set_title(finding.replace("$", r"\$"), wrap=True)
    if ends:
        label_ends(figure, ends)
    return figure


def _by_epoch(
    figure: SubFigure, results: Results, curves: Sequence[Curve], scale: Scale
) -> list[tuple[Axes, list[End]]]:
    """The panels of what is known after each epoch, and the ends of their curves."""
    shown = []
    if all(LOSS.metric in row for run in results for row in run.epochs):
        shown.append((f"training loss{LOG_SCALE}", LOSS.metric, Scale(LOSS)))
    split = evaluated(results)
    metric = scale.judge.metric if split == "val" else scale.judge.tested
    shown.append((scale.name(split), metric, scale))
    ends = []
    is_wide = figure.figure.get_figwidth() == WIDTH
    shape = (1, len(shown)) if is_wide else (len(shown), 1)
    panels = np.ravel(figure.subplots(*shape))
    for panel, (name, metric, own) in zip(panels, shown, strict=True):
        values = [[own.values_of(run, metric) for run in curve.runs] for curve in curves]
        own.set_axis(panel, "y", finite(chain.from_iterable(values)))
        panel.set_ylabel(name, parse_math=False)
        ends.append((panel, draw_by_epoch(panel, curves, values, of_trained=True)))
    dotted = "; dotted: runs that collapsed" * any(run.failed for run in results)
    _explain(figure, f"thick lines: {MEANS}{dotted}")
    return ends


def _explain(figure: Figure | SubFigure, text: str) -> None:
    """Write what is drawn how below it."""
    figure.supxlabel(fill(text, int(10 * figure.figure.get_figwidth())), fontsize=LETTERS)


def _final_scores(axes: Axes, curves: Sequence[Curve], scale: Scale) -> None:
    """A row for each curve: a mark for each run, the mean with its interval, and the
    number of collapsed runs.
    """
    means = [summarise(curve.runs).score for curve in curves]
    drawn = [scale.drawn(run.score) for curve in curves for run in curve.runs]
    for mean in means:
        if mean:  # a log axis has no room for 0
            drawn += [end for end in map(scale.drawn, (mean.low, mean.high)) if end > 0]
    scale.set_axis(axes, "x", [*filter(math.isfinite, drawn)])
    for row, (curve, mean) in enumerate(zip(curves, means, strict=True)):
        runs = [run for run in curve.runs if math.isfinite(run.score)]
        scores = [scale.drawn(run.score) for run in runs]
        beside = row + np.linspace(-0.25, 0.25, len(runs)) * (len(runs) > 1)
        draw_runs(axes, runs, scores, beside, curve.style)
        if mean:
            value, *ends = map(scale.drawn, (mean.value, mean.low, mean.high))
            stroke = [row - 0.38, row + 0.38]
            axes.plot([value] * 2, stroke, color=foreground(), gid="means")
            axes.plot(ends, [row, row], color=foreground(), gid="intervals")
            mark_cut(axes, ends, row)
    axes.set_yticks(range(len(curves)), map(_with_collapses, curves), parse_math=False)
    name = curves[0].runs[0].score_name
    if scale.judge.in_percent:
        is_tested = scale.judge.tested in curves[0].runs[0].final
        name = scale.name("test" if is_tested else "val")
    axes.set_ylim(len(curves) - 0.5, -0.5)
    axes.set_xlabel(f"final {name}", parse_math=False)
    axes.tick_params(axis="y", length=0)


def mark_cut(axes: Axes, ends: Sequence[float], row: int) -> None:
    """An arrow where an interval goes on beyond the axis."""
    low, high = axes.get_xlim()
    if min(ends) < low:
        axes.plot(low, row, "<", color=foreground(), clip_on=False, gid="cut")
    if max(ends) > high:
        axes.plot(high, row, ">", color=foreground(), clip_on=False, gid="cut")


def _with_collapses(curve: Curve) -> str:
    """The name of a curve and, in a second line, how many of its runs collapsed."""
    collapsed = sum(run.failed for run in curve.runs)
    return curve.name + f"\n{collapsed} of {len(curve.runs)} collapsed" * bool(collapsed)


def curves_of_networks(
    results: Results, swept: Sequence[str] = (), longest: int = LONGEST_NAME
) -> list[Curve]:
    """A curve for each network, in their order, at each setting of the ``swept``
    options; lines of names have at most so many characters.

    A registered network has its own colour in every figure.
    """
    networks = by_arch(results)
    looks = _styles_of(networks)

    def name(run: RunResult) -> str:
        settings = [settings_text(run.overrides, swept)] if swept else []
        return "\n".join(wrapped(text, longest) for text in [run.arch, *settings])

    curves = []
    for arch, runs in networks.items():
        curves += [Curve(title, looks[arch], own) for title, own in grouped(runs, name).items()]
    return curves


def _styles_of(archs: Collection[str]) -> dict[str, Style]:
    """The style of each network: a registered one has its own, any other the next that is free."""
    registered = {arch: RECORDS[arch].style for arch in archs if arch in RECORDS}
    free = (number for number in count(OTHERS) if number not in registered.values())
    return {arch: style(registered[arch] if arch in RECORDS else next(free)) for arch in archs}


def draw_runs(
    axes: Axes, runs: Results, x: Iterable[float], y: Iterable[float], look: Style
) -> None:
    """A dot for each run, with an edge of paper; a cross for one that collapsed."""
    points = list(zip(runs, x, y, strict=True))
    paper = rcParams["axes.facecolor"]
    for failed, marker, width, edge in (
        (False, look.marker, 0.5, paper),
        (True, "x", 1.8, look.colour),
    ):
        shown = [point for run, *point in points if run.failed == failed]
        if shown:
            axes.plot(
                *zip(*shown, strict=True),
                marker,
                color=look.colour,
                gid="runs",
                markersize=6 + width,
                markeredgewidth=width,
                markeredgecolor=edge,
                zorder=3,  # above means and intervals
            )

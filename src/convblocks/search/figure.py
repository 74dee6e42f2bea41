"""The figure of a search: its trials in order, each option by itself, and the importance of each."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from convblocks.figures.curves import Scale
from convblocks.figures.style import WIDTH, foreground, log_axis, muted, style
from convblocks.run.judge import ACCURACY, Judge

MOST_COLUMNS = 3

# More ticks, or longer names of values, would overlap in so narrow a panel.
MOST_TICKS = 4
LONGEST_VALUE = 10


class Point(NamedTuple):
    """A trial with its score on validation data: the last one seen of a trial that was pruned or collapsed."""

    number: int
    score: float
    ended: str
    params: Mapping[str, Any]


def search_figure(
    points: Sequence[Point],
    dimensions: Mapping[str, BaseDistribution],
    importance: Mapping[str, float],
    judge: Judge = ACCURACY,
) -> Figure:
    """The scores of trials, accuracies as errors: by number, with the best so far, and against each option."""
    scale = Scale(judge)
    columns = min(MOST_COLUMNS, len(dimensions))
    rows = math.ceil(len(dimensions) / columns)
    figure = Figure(figsize=(WIDTH, 4.2 + 3.0 * rows), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(4.2, 3.0 * rows), squeeze=False)[:, 0]
    if importance:
        left, right = top.subplots(1, 2, width_ratios=(3, 2))
        _importance(right, importance)
    else:
        left = top.subplots()
    _history(left, points, scale)
    axes = bottom.subplots(rows, columns, sharey=True, squeeze=False)
    for panel, (option, dimension) in zip(axes.flat, dimensions.items(), strict=False):
        _slice(panel, points, option, dimension, scale)
    for panel in axes.flat[len(dimensions) :]:
        panel.remove()
    for panel in axes[:, 1:].flat:
        panel.set_ylabel("")
    return figure


def _history(axes: Axes, points: Sequence[Point], scale: Scale) -> None:
    _scatter(axes, points, [one.number for one in points], scale)
    complete = [one for one in points if one.ended == "complete"]
    numbers = [one.number for one in complete]
    best = accumulate((one.score for one in complete), max if scale.judge.sign > 0 else min)
    course = [scale.drawn(score) for score in best]
    axes.step(numbers, course, where="post", color=foreground(), linewidth=1.2, label="best so far")
    _set_axis(axes, points, scale)
    axes.set_xlabel("trial")
    axes.set_ylabel(scale.name("val"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, handletextpad=0.3)


def _slice(axes: Axes, points: Sequence[Point], option: str, dimension: BaseDistribution, scale: Scale) -> None:
    values = [one.params[option] for one in points]
    if isinstance(dimension, CategoricalDistribution):
        positions = {choice: position for position, choice in enumerate(dimension.choices)}
        _scatter(axes, points, [positions[value] for value in values], scale)
        axes.set_xticks(range(len(positions)), [_short(str(choice)) for choice in positions])
        axes.set_xlim(-0.5, len(positions) - 0.5)
    else:
        assert isinstance(dimension, FloatDistribution | IntDistribution)
        _scatter(axes, points, values, scale)
        if dimension.log:
            log_axis(axes, "x", [dimension.low, dimension.high], most=MOST_TICKS)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, integer=isinstance(dimension, IntDistribution)))
    _set_axis(axes, points, scale)
    axes.set(title=option, ylabel=scale.name("val"))


def _importance(axes: Axes, importance: Mapping[str, float]) -> None:
    options = list(importance)[::-1]
    axes.barh(options, [100 * importance[option] for option in options], color=style(0).colour, height=0.6)
    axes.set_title("importance (PED-ANOVA)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    axes.grid(visible=False, axis="y")


def _set_axis(axes: Axes, points: Sequence[Point], scale: Scale) -> None:
    scale.set_axis(axes, "y", [scale.drawn(one.score) for one in points])


def _scatter(axes: Axes, points: Sequence[Point], positions: Sequence[float], scale: Scale) -> None:
    """Distinguished by marker and fill, and so in grey too."""
    first, second = style(0).colour, style(1).colour
    looks = {"complete": ("o", first, first), "pruned": ("o", "none", muted()), "collapsed": ("x", second, None)}
    for ended, (marker, inside, edge) in looks.items():
        shown = [pair for pair in zip(positions, points, strict=True) if pair[1].ended == ended]
        own = [(position, scale.drawn(one.score)) for position, one in shown]
        if own:
            at, errors = zip(*own, strict=True)
            axes.scatter(
                at, errors, 28, label=ended, marker=marker, facecolors=inside, edgecolors=edge, zorder=3, clip_on=False
            )


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"

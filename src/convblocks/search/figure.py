"""The figure of a search: its trials in order, and against each option."""

import math
from collections.abc import Sequence
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial

from convblocks.figures.curves import Scale
from convblocks.figures.style import WIDTH, foreground, log_axis, muted, style
from convblocks.run.judge import ACCURACY, Judge
from convblocks.search.space import Dimension, Space
from convblocks.search.worker import ending_of

MOST_COLUMNS = 3

# More ticks, or longer names of values, would overlap in so narrow a panel.
MOST_TICKS = 4
LONGEST_VALUE = 10


def search_figure(trials: Sequence[FrozenTrial], dimensions: Space, judge: Judge = ACCURACY) -> Figure:
    """The scores of trials, accuracies as errors: by number, with the best so far, and against each option.

    That of a trial which was pruned or collapsed is its last one.
    """
    trials = [trial for trial in trials if trial.values and trial.state.is_finished()]
    scale = Scale(judge)
    scores = [scale.drawn(trial.values[0]) for trial in trials]
    columns = min(MOST_COLUMNS, len(dimensions))
    rows = 1 + math.ceil(len(dimensions) / columns)
    figure = Figure(figsize=(WIDTH, 1 + 3 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, columns, height_ratios=[4, *[3] * (rows - 1)])
    history = figure.add_subplot(grid[0, :])
    _scatter(history, trials, [trial.number for trial in trials], scores)
    complete = [
        (trial.number, score) for trial, score in zip(trials, scores, strict=True) if trial.state.name == "COMPLETE"
    ]
    numbers, finals = zip(*complete, strict=True)
    best = accumulate(finals, min if judge.in_percent or judge.sign < 0 else max)  # of errors the least
    history.step(numbers, list(best), where="post", color=foreground(), linewidth=1.2, label="best so far")
    history.set(xlabel="trial", ylabel=scale.name("val"))
    history.xaxis.set_major_locator(MaxNLocator(integer=True))
    history.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, handletextpad=0.3)
    for place, (option, dimension) in enumerate(dimensions.items()):
        panel = figure.add_subplot(grid[1 + place // columns, place % columns], sharey=history)
        _option_axis(panel, dimension)
        values = [trial.params[option] for trial in trials]
        if isinstance(dimension, CategoricalDistribution):
            values = [dimension.choices.index(value) for value in values]
        _scatter(panel, trials, values, scores)
        panel.set(title=option, ylabel="" if place % columns else scale.name("val"))
        panel.tick_params(labelleft=not place % columns)
    scale.set_axis(history, "y", scores)  # and those that share it
    return figure


def _option_axis(axes: Axes, dimension: Dimension) -> None:
    if isinstance(dimension, CategoricalDistribution):
        names = [
            text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
            for text in map(str, dimension.choices)
        ]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif dimension.log:
        log_axis(axes, "x", [dimension.low, dimension.high], most=MOST_TICKS)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, integer=isinstance(dimension, IntDistribution)))


def _scatter(axes: Axes, trials: Sequence[FrozenTrial], positions: Sequence[float], scores: Sequence[float]) -> None:
    """Distinguished by marker and fill, and so in grey too."""
    first, second = style(0).colour, style(1).colour
    looks = {"complete": ("o", first, first), "pruned": ("o", "none", muted()), "collapsed": ("x", second, None)}
    for ended, (marker, inside, edge) in looks.items():
        places = [place for place, trial in enumerate(trials) if ending_of(trial) == ended]
        x, y = ([values[place] for place in places] for values in (positions, scores))
        if places:
            axes.scatter(
                x, y, 28, label=ended, marker=marker, facecolors=inside, edgecolors=edge, zorder=3, clip_on=False
            )

"""The figure of a search: its trials in order, and against each option."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from convblocks.figures.curves import Scale
from convblocks.figures.style import WIDTH, foreground, log_axis, style
from convblocks.run.judge import ACCURACY, Judge
from convblocks.search.space import values_of

COLUMNS = 2


def search_figure(
    trials: Sequence[FrozenTrial], space: Mapping[str, BaseDistribution], judge: Judge = ACCURACY
) -> Figure:
    """The scores of trials, accuracies as errors: by number, with the best so far, and against each option.

    That of a trial which was pruned or collapsed is its last one.
    """
    scale, rows = Scale(judge), 1 + -(-len(space) // COLUMNS)
    figure = Figure(figsize=(WIDTH, 1 + 2.5 * rows), layout="constrained")
    grid = figure.add_gridspec(rows, COLUMNS)
    history = figure.add_subplot(grid[0, :], xlabel="trial", ylabel=scale.name("val"))
    history.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels: dict[str, Axes] = {}
    for place, (option, distribution) in enumerate(space.items()):
        panel = panels[option] = figure.add_subplot(grid[1 + place // COLUMNS, place % COLUMNS], sharey=history)
        panel.set_title(option)
        if isinstance(distribution, CategoricalDistribution):
            panel.xaxis.update_units(distribution.choices)  # type: ignore[no-untyped-call]
            panel.set_xlim(-0.5, len(distribution.choices) - 0.5)
        elif distribution.log:  # type: ignore[attr-defined]  # of a range
            log_axis(panel, "x", values_of(distribution), most=5)  # more would overlap in so narrow a panel
    for number, state in enumerate((TrialState.COMPLETE, TrialState.PRUNED)):
        scored = [trial for trial in trials if trial.state == state and trial.values]
        scores = [scale.drawn(trial.values[0]) for trial in scored]
        look: dict[str, Any] = {"color": style(number).colour, "marker": "ox"[number], "zorder": 3, "clip_on": False}
        label = ("complete", "pruned or collapsed")[number]
        history.scatter([trial.number for trial in scored], scores, label=label, **look)
        for option, panel in panels.items():
            panel.scatter([trial.params[option] for trial in scored], scores, **look)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    best = accumulate((trial.values[0] for trial in complete), max if judge.sign > 0 else min)
    course = [trial.number for trial in complete], [scale.drawn(score) for score in best]
    history.step(*course, where="post", color=foreground(), label="best so far")
    history.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    scale.set_axis(history, "y", [scale.drawn(trial.values[0]) for trial in trials if trial.values])  # that all share
    return figure

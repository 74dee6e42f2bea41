"""A search as a picture: its trials in their order, each option by itself, and how much each matters."""

import math
from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from convblocks.evaluation.drawing import SIDE, WIDTH, ink, log_axis, muted, style
from convblocks.search.space import Dimension, Space
from convblocks.search.study import how_it_ended

MOST_COLUMNS = 3

# More would run into each other in so narrow a panel.
MOST_TICKS = 4

# Longer names of values would run into each other.
LONGEST_VALUE = 10


def search_figure(trials: Sequence[FrozenTrial], dimensions: Space, importance: dict[str, float]) -> Figure:
    """The trials' validation errors: by number, with the best so far, and against each option.

    A trial that was pruned or collapsed is drawn at the last accuracy that was seen of it.
    """
    shown = _shown(trials)
    columns = min(MOST_COLUMNS, len(dimensions))
    rows = math.ceil(len(dimensions) / columns)
    figure = Figure(figsize=(WIDTH, 4.2 + 3.0 * rows), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(4.2, 3.0 * rows), squeeze=False)[:, 0]
    if importance:
        left, right = top.subplots(1, 2, width_ratios=(3, 2))
        _importance(right, importance)
    else:
        left = top.subplots()
    errors = [_error(one) for one in shown]
    _history(left, shown, errors)
    axes = bottom.subplots(rows, columns, sharey=True, squeeze=False)
    for panel, (option, dimension) in zip(axes.flat, dimensions.items(), strict=False):
        _slice(panel, shown, errors, option, dimension)
    for panel in axes.flat[len(dimensions) :]:
        panel.remove()
    for panel in axes[:, 1:].flat:
        panel.set_ylabel("")
    return figure


def search_cards(
    trials: Sequence[FrozenTrial], dimensions: Space, importance: dict[str, float]
) -> dict[str, Callable[[], Figure]]:
    """What draws the panels of ``search_figure``, each as a square figure."""
    shown = _shown(trials)
    errors = [_error(one) for one in shown]
    fills: dict[str, Callable[[Axes], None]] = {
        option: partial(_slice, trials=shown, errors=errors, option=option, dimension=dimension)
        for option, dimension in dimensions.items()
    }
    if importance:
        fills["importance"] = partial(_importance, importance=importance)
    fills["trials"] = partial(_history, trials=shown, errors=errors)
    return {name: partial(_card, fill) for name, fill in fills.items()}


def _card(fill: Callable[[Axes], None]) -> Figure:
    figure = Figure(figsize=(SIDE, SIDE), layout="constrained")
    fill(figure.subplots())
    return figure


def _shown(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [one for one in trials if one.values and one.state.is_finished()]


def _history(axes: Axes, trials: Sequence[FrozenTrial], errors: Sequence[float]) -> None:
    _scatter(axes, trials, [one.number for one in trials])
    best, numbers, course = math.inf, [], []
    for one, error in zip(trials, errors, strict=True):
        if one.state == TrialState.COMPLETE:
            best = min(best, error)
            numbers.append(one.number)
            course.append(best)
    axes.step(numbers, course, where="post", color=ink(), linewidth=1.2, label="best so far")
    log_axis(axes, "y", errors, unit=" %")
    axes.set_xlabel("trial")
    axes.set_ylabel("validation error")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, handletextpad=0.3)


def _slice(
    axes: Axes, trials: Sequence[FrozenTrial], errors: Sequence[float], option: str, dimension: Dimension
) -> None:
    values = [one.params[option] for one in trials]
    if isinstance(dimension, CategoricalDistribution):
        places = {choice: place for place, choice in enumerate(dimension.choices)}
        _scatter(axes, trials, [places[value] for value in values])
        axes.set_xticks(range(len(places)), [_short(str(choice)) for choice in places])
        axes.set_xlim(-0.5, len(places) - 0.5)
    else:
        _scatter(axes, trials, values)
        if dimension.log:
            log_axis(axes, "x", [dimension.low, dimension.high], most=MOST_TICKS)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, integer=isinstance(dimension, IntDistribution)))
    log_axis(axes, "y", errors, unit=" %")
    axes.set(title=option, ylabel="validation error")


def _importance(axes: Axes, importance: dict[str, float]) -> None:
    options = list(importance)[::-1]
    axes.barh(options, [100 * importance[option] for option in options], color=style(0).colour, height=0.6)
    axes.set_title("importance (PED-ANOVA)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    axes.grid(visible=False, axis="y")


def _scatter(axes: Axes, trials: Sequence[FrozenTrial], places: Sequence[float]) -> None:
    """Told apart by marker and fill, and so in grey too."""
    first, second = style(0).colour, style(1).colour
    looks = {"complete": ("o", first, first), "pruned": ("o", "none", muted()), "collapsed": ("x", second, None)}
    for what, (marker, inside, edge) in looks.items():
        own = [(place, _error(one)) for place, one in zip(places, trials, strict=True) if how_it_ended(one) == what]
        if own:
            at, errors = zip(*own, strict=True)
            axes.scatter(
                at, errors, 28, label=what, marker=marker, facecolors=inside, edgecolors=edge, zorder=3, clip_on=False
            )


def _error(trial: FrozenTrial) -> float:
    """In per cent."""
    return 100 * (1 - float(trial.values[0]))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"

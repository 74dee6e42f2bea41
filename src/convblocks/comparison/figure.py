"""A comparison as pictures: all that is drawn are runs, medians over runs, and intervals that were given.

A run that collapsed is drawn at its error like any other. A loss that is not finite is no point; where a median is
taken it is the worst of all.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from convblocks.comparison import panels
from convblocks.comparison.outcomes import RunResult, by_arch, by_settings
from convblocks.comparison.panels import Curve, Interval
from convblocks.comparison.trials import Settings, is_number
from convblocks.evaluation.drawing import SIDE, WIDTH, End, label_ends, style

LONGEST_NAME = 22

# Draws curves, and tells the ends of those that are still to be named.
Fill = Callable[[Axes, Sequence[Curve]], list[End] | None]


def answer_figure(swept: Sequence[RunResult], pairs: Sequence[Interval]) -> Figure:
    """Test error against what was swept, and below it how many runs collapsed; beside it the differences, if any.

    The horizontal axis is the learning rate, or another option where that was not swept. Each network is a curve, and
    each combination of the other swept options a panel; of a single network these are the curves.
    """
    option, others = _swept_options(swept)
    curves = _curves(swept, others)
    rows = math.ceil(len(curves) / 2)
    figure = Figure(figsize=(WIDTH, max(6.0 * rows, 1.0 * len(pairs))), layout="constrained")
    if not pairs:
        _sweep(figure, curves, option)
        return figure
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2), wspace=0.05, squeeze=False)[0]
    _sweep(left, curves, option)
    _differences(right, pairs)
    return figure


def comparison_figure(outcomes: Sequence[RunResult]) -> Figure:
    """Loss and error by epoch, and every run's final test error."""
    curves = _of_networks(outcomes)
    heights = (4.0, 0.9 + 0.45 * len(curves))
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=heights, squeeze=False)[:, 0]
    left, right = top.subplots(1, 2)
    ends = panels.losses(left, curves), panels.errors(right, curves, _evaluated(outcomes))
    panels.final_errors(bottom.subplots(), curves)
    label_ends(figure, zip((left, right), ends, strict=True))
    return figure


def answer_cards(swept: Sequence[RunResult]) -> dict[str, Callable[[], Figure]]:
    """What draws the panels of ``answer_figure`` without differences, each as a square figure, by their titles.

    A single one that has no title has the name of the option.
    """
    option, others = _swept_options(swept)
    return {title or option: partial(_answer_card, swept, title) for title in _curves(swept, others)}


def comparison_cards(outcomes: Sequence[RunResult]) -> dict[str, Callable[[], Figure]]:
    """What draws the panels of ``comparison_figure``, each as a square figure."""
    errors = partial(panels.errors, evaluated=_evaluated(outcomes))
    fills: dict[str, Fill] = {"loss": panels.losses, "error": errors, "final_error": panels.final_errors}
    return {name: partial(_comparison_card, outcomes, fill) for name, fill in fills.items()}


def dead_units_figure(outcomes: Sequence[RunResult]) -> Figure:
    """The share of silent units by epoch: a panel for each network that tells it, and in it a curve for each layer.

    Raises:
        ValueError: no run tells it.
    """
    telling = [curve for curve in _of_networks(outcomes) if panels.layers(curve.runs)]
    if not telling:
        raise ValueError("no run tells how many of its units are silent")
    columns = min(3, len(telling))
    rows = math.ceil(len(telling) / columns)
    figure = Figure(figsize=(WIDTH, 4.2 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for panel in axes[len(telling) :]:
        panel.remove()
    axes[0].set_ylabel("silent units")
    label_ends(figure, [(panel, panels.silence(panel, curve)) for panel, curve in zip(axes, telling, strict=False)])
    return figure


def _answer_card(swept: Sequence[RunResult], title: str) -> Figure:
    option, others = _swept_options(swept)
    figure = Figure(figsize=(SIDE, SIDE), layout="constrained")
    _sweep(figure, {title: _curves(swept, others)[title]}, option)
    return figure


def _comparison_card(outcomes: Sequence[RunResult], fill: Fill) -> Figure:
    figure = Figure(figsize=(SIDE, SIDE), layout="constrained")
    axes = figure.subplots()
    label_ends(figure, [(axes, fill(axes, _of_networks(outcomes)) or [])])
    return figure


def _evaluated(outcomes: Sequence[RunResult]) -> str:
    """On which images the runs were evaluated after each epoch."""
    return "val" if any("val/acc" in row for outcome in outcomes for row in outcome.epochs) else "test"


def _of_networks(outcomes: Sequence[RunResult]) -> list[Curve]:
    return [Curve(_short(arch), style(index), own) for index, (arch, own) in enumerate(by_arch(outcomes).items())]


def _short(name: str) -> str:
    """A network's name, or the end of it: where it is somebody's own it begins with a module."""
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :].lstrip('.')}"


def _swept_options(outcomes: Sequence[RunResult]) -> tuple[str, list[str]]:
    """The option for the horizontal axis, and the others of which there are several values."""
    values: dict[str, set[str]] = {}
    for outcome in outcomes:
        for option, value in outcome.settings:
            values.setdefault(option, set()).add(value)
    varied = [option for option, found in values.items() if len(found) > 1] or list(values)[-1:]
    numeric = [option for option in varied if all(map(is_number, values[option]))]
    chosen = "lr" if "lr" in varied else (numeric or varied)[0]
    return chosen, [option for option in varied if option != chosen]


def _curves(outcomes: Sequence[RunResult], others: Sequence[str]) -> dict[str, list[Curve]]:
    """The curves of each panel, by its title."""

    def rest(settings: Settings) -> str:
        return ", ".join(f"{option}={value}" for option, value in settings if option in others)

    points: dict[str, list[RunResult]] = {}
    for settings, here in by_settings(outcomes).items():
        points.setdefault(rest(settings), []).extend(here)
    networks = _of_networks(outcomes)
    if len(networks) == 1:
        curves = [Curve(name, style(index), own) for index, (name, own) in enumerate(points.items())]
        return {networks[0].name: curves}
    return {
        title: [curve._replace(runs=own) for curve in networks if (own := [run for run in curve.runs if run in here])]
        for title, here in points.items()
    }


def _sweep(figure: Figure | SubFigure, curves: dict[str, list[Curve]], option: str) -> None:
    columns = min(2, len(curves))
    rows = math.ceil(len(curves) / columns)
    strip = 0.35 + 0.3 * max(map(len, curves.values()))
    axes = figure.subplots(2 * rows, columns, sharex=True, squeeze=False, height_ratios=(4.4, strip) * rows)
    runs = [run for own in curves.values() for curve in own for run in curve.runs]
    places = panels.places_of(list(dict.fromkeys(dict(run.settings)[option] for run in runs)))
    errors = [panels.error(run) for run in runs]
    for number, (title, own) in enumerate(curves.items()):
        row, column = divmod(number, columns)
        above, below = axes[2 * row : 2 * row + 2, column]
        panels.swept_errors(above, own, option, places, errors)
        panels.collapses(below, own, option, places)
        panels.name_places(below, places, columns)
        above.set_title(title)
        if column:
            above.tick_params(labelleft=False)
        else:
            above.set_ylabel("test error")
            panels.key(below, own)
    for panel in axes.flat[2 * len(curves) :]:
        panel.remove()


def _differences(figure: SubFigure, pairs: Sequence[Interval]) -> None:
    """A panel for each group: what is large in one may be small in another."""
    groups = dict.fromkeys(pair.group for pair in pairs)
    own = [[pair for pair in pairs if pair.group == group] for group in groups]
    axes = figure.subplots(len(own), 1, squeeze=False, height_ratios=[0.5 + len(here) for here in own])
    for panel, group, here in zip(np.ravel(axes), groups, own, strict=True):
        panels.intervals(panel, here)
        panel.set_title(group)
    panel.set_xlabel("difference in points of accuracy")

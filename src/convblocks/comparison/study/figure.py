"""The study in one figure."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from convblocks.comparison.figure import answer_figure
from convblocks.comparison.outcomes import RunResult
from convblocks.comparison.panels import Interval
from convblocks.comparison.statistics import Test
from convblocks.comparison.study.decision import Decision
from convblocks.comparison.verdicts import Comparison


def decision_figure(outcomes: Sequence[RunResult], decision: Decision) -> Figure:
    """Both stages' runs against the learning rate, beside the differences that the second stage found."""
    pairs = [
        *_intervals(decision.at_notebooks, "at the notebook's setting"),
        *_intervals(decision.at_best, "each at its own best setting"),
    ]
    return answer_figure(outcomes, pairs)


def _intervals(comparison: Comparison, group: str) -> list[Interval]:
    """The differences in test accuracy of the runs that trained, each with the interval of its test."""
    return [
        Interval(f"{one.first} - {one.second}", result.difference, result.low, result.high, group)
        for one in comparison.differences
        if one.measure == "accuracy" and isinstance(result := one.trained, Test)
    ]

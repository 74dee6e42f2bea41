"""Whether an estimate meets a target, and a ratio of few rounds decides anything."""

from math import nan

import pytest

from convblocks.figures.estimates import Estimate
from lab.benchmarks.rows import judged, ratio
from lab.estimates import at_least, at_most


@pytest.mark.parametrize(
    ("low", "high", "least", "most"),
    [
        (0.90, 1.05, "undecided", "met"),
        (1.05, 1.20, "met", "undecided"),
        (1.06, 1.20, "met", "missed"),
        (0.90, 1.04, "missed", "met"),
        (nan, nan, "undecided", "undecided"),
    ],
)
def test_target_is_decided_by_the_whole_interval(
    low: float, high: float, least: str, most: str
) -> None:
    estimate = Estimate(1.0, low, high)
    assert (at_least(estimate, 1.05), at_most(estimate, 1.05)) == (least, most)


def test_ratio_of_fewer_than_six_rounds_decides_nothing() -> None:
    five, six = (ratio([1.5] * rounds) for rounds in (5, 6))
    assert (judged(five), at_least(five, 1.0), at_most(five, 9.0)) == (
        "1.50: undecided",
        "undecided",
        "undecided",
    )
    assert (judged(six), at_least(six, 1.0), at_most(six, 9.0)) == (
        "1.50 [1.50, 1.50]: more",
        "met",
        "met",
    )

"""What pages say of estimates."""

from math import nan

import pytest

from convblocks.figures.estimates import PERCENT, Estimate
from lab.estimates import at_least, at_most, count_text, spread


def test_mean_has_its_standard_deviation_unless_it_is_of_one_value() -> None:
    assert spread(Estimate(0.9701, n=10, unit=PERCENT, deviation=0.0066)) == "97.01 ± 0.66"
    assert spread(Estimate(0.9701, n=1, unit=PERCENT)) == "97.01"


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
def test_target_is_decided_by_the_whole_interval(low: float, high: float, least: str, most: str) -> None:
    estimate = Estimate(1.0, low, high)
    assert (at_least(estimate, 1.05), at_most(estimate, 1.05)) == (least, most)


def test_count_is_written_with_the_interval_of_its_share() -> None:
    assert count_text(2, 10) == "2 of 10 [6–51 %]"

"""Estimates, how they are written, and Wilson's interval."""

from math import inf, nan

import pytest
from statsmodels.stats.proportion import proportion_confint

from convblocks.figures.estimates import (
    LOSS,
    PERCENT,
    POINTS,
    RATIO,
    SECONDS,
    SHARE,
    Estimate,
    cell,
    count_text,
    p_number,
    p_text,
    share,
)


@pytest.mark.parametrize(
    ("estimate", "spec", "written"),
    [
        (Estimate(0.9701, 0.9646, 0.9757, unit=PERCENT), "", "97.01 [96.46, 97.57]"),
        (Estimate(0.0029, 0.0024, 0.0034, unit=POINTS), "+", "+0.29 [+0.24, +0.34]"),
        (Estimate(0.0029, 0.0024, 0.0034, unit=POINTS), "u", "0.29 points [0.24, 0.34]"),
        (Estimate(-0.0029, -0.0034, 0.0024, unit=POINTS), "+u", "-0.29 points [-0.34, +0.24]"),
        (Estimate(0.2774, 0.2739, 0.2805, unit=LOSS), "", "0.277 [0.274, 0.281]"),
        (Estimate(8.06, 7.94, 8.26, unit=SECONDS), "u", "8.1 s [7.9, 8.3]"),
        (Estimate(1.234, 1.1, 1.5, unit=RATIO), "", "1.23 [1.10, 1.50]"),
        (Estimate(0.8, 0.4901, 0.9433, unit=SHARE), "", "80 % [49-94 %]"),
        (Estimate(0.97, unit=PERCENT), "", "97.00"),
        (Estimate(0.0029, unit=POINTS), "+u", "+0.29 points"),
        (Estimate(0.0029, -inf, inf, unit=POINTS), "+", "+0.29"),
        (Estimate(0.0029, 0.001, inf, unit=POINTS), "", "0.29"),
    ],
)
def test_an_estimate_is_written_with_its_interval_if_it_has_one(estimate: Estimate, spec: str, written: str) -> None:
    assert f"{estimate:{spec}}" == cell(estimate, spec) == written
    if not spec:
        assert str(estimate) == written


def test_a_mean_has_its_standard_deviation_unless_it_is_of_one_value() -> None:
    assert Estimate(0.9701, n=10, unit=PERCENT, deviation=0.0066).spread() == "97.01 ± 0.66"
    assert Estimate(0.9701, n=1, unit=PERCENT).spread() == "97.01"


@pytest.mark.parametrize(
    ("p", "in_cell", "in_sentence"),
    [
        (0.00009, "< 0.0001", "p < 0.0001"),
        (0.00976, "0.0098", "p = 0.0098"),
        (0.03, "0.03", "p = 0.03"),
        (0.4, "0.40", "p = 0.40"),
        (1.0, "1.00", "p = 1.00"),
    ],
)
def test_p_values_are_written_to_two_digits(p: float, in_cell: str, in_sentence: str) -> None:
    assert (p_number(p), p_text(p)) == (in_cell, in_sentence)
    assert cell(None) == p_number(nan) == "-"


@pytest.mark.parametrize(
    ("low", "high", "at_least", "at_most"),
    [
        (0.90, 1.05, "undecided", "met"),
        (1.06, 1.20, "met", "missed"),
        (1.05, 1.20, "met", "undecided"),
        (0.90, 1.04, "missed", "met"),
        (nan, nan, "undecided", "undecided"),
    ],
)
def test_a_target_is_decided_by_the_whole_interval(low: float, high: float, at_least: str, at_most: str) -> None:
    estimate = Estimate(1.0, low, high)
    assert (estimate.at_least(1.05), estimate.at_most(1.05)) == (at_least, at_most)


@pytest.mark.parametrize("trials", [1, 7, 1000])
def test_wilsons_interval_is_that_of_statsmodels(trials: int) -> None:
    for count in range(trials + 1):
        found = share(count, trials)
        assert (found.value, found.n, found.unit) == (count / trials, trials, SHARE)
        assert (found.low, found.high) == pytest.approx(proportion_confint(count, trials, method="wilson"))


def test_a_count_is_written_with_the_interval_of_its_share_unless_it_is_above_its_total() -> None:
    assert count_text(2, 10) == "2 of 10 [6-51 %]"
    with pytest.raises(ValueError, match="no proportion"):
        share(3, 2)

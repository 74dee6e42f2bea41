"""Estimates, how they are written, and Wilson's interval."""

from math import inf, nan

import pytest
from statsmodels.stats.proportion import proportion_confint

from convblocks.figures.estimates import (
    COUNT,
    LOSS,
    P_VALUE,
    PERCENT,
    POINTS,
    RATIO,
    SECONDS,
    SHARE,
    Estimate,
    Unit,
    Value,
    cell,
    number,
    p_text,
    share,
)


@pytest.mark.parametrize(
    ("estimate", "spec", "written"),
    [
        (Estimate(0.9701, 0.9646, 0.9757, unit=PERCENT), "", "97.01 [96.46, 97.57]"),
        (Estimate(0.0029, 0.0024, 0.0034, unit=POINTS), "+", "+0.29 [+0.24, +0.34]"),
        (Estimate(0.0029, 0.0024, 0.0034, unit=POINTS), "u", "0.29 points [0.24, 0.34]"),
        (Estimate(0.2774, 0.2739, 0.2805, unit=LOSS), "", "0.277 [0.274, 0.281]"),
        (Estimate(8.06, 7.94, 8.26, unit=SECONDS), "u", "8.1 s [7.9, 8.3]"),
        (Estimate(0.8, 0.4901, 0.9433, unit=SHARE), "", "80 % [49–94 %]"),
        (Estimate(0.0029, 0.001, inf, unit=POINTS), "", "0.29"),
    ],
)
def test_estimate_is_written_with_its_interval_if_it_has_one(
    estimate: Estimate, spec: str, written: str
) -> None:
    assert f"{estimate:{spec}}" == written


@pytest.mark.parametrize(
    ("p", "in_cell", "in_sentence"),
    [
        (0.0009, "< 0.001", "p < 0.001"),
        (0.00976, "0.0098", "p = 0.0098"),
        (0.4, "0.40", "p = 0.40"),
    ],
)
def test_p_value_is_written_to_two_digits(p: float, in_cell: str, in_sentence: str) -> None:
    assert (number(p, P_VALUE), p_text(p)) == (in_cell, in_sentence)
    assert cell(None) == number(nan, P_VALUE) == "-"


@pytest.mark.parametrize("trials", [1, 7, 1000])
def test_share_has_wilsons_interval_as_that_of_statsmodels(trials: int) -> None:
    for count in range(trials + 1):
        found = share(count, trials)
        assert (found.value, found.n, found.unit) == (count / trials, trials, SHARE)
        assert (found.low, found.high) == pytest.approx(
            proportion_confint(count, trials, method="wilson")
        )


@pytest.mark.parametrize(
    ("value", "unit", "signed", "written"),
    [
        (79510, COUNT, False, "79,510"),
        (0.9701, PERCENT, False, "97.01"),
        (-0.00001, POINTS, True, "+0.00"),
        (0.835, SHARE, False, "84 %"),
        ((0.9561, 0.9702), PERCENT, False, "95.61–97.02"),
        ((0.5, 0.5), RATIO, False, "0.50"),
        (nan, LOSS, False, "-"),
        (None, RATIO, False, "-"),
    ],
)
def test_cell_has_the_digits_of_its_column(
    value: Value, unit: Unit, signed: bool, written: str
) -> None:
    assert cell(value, unit, signed) == written

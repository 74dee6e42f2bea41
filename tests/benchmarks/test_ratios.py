"""A ratio has the interval of its rounds, and a target is decided only where that lies on one side of it."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.ratios import ratio


def test_a_ratio_is_the_geometric_mean_of_the_rounds() -> None:
    assert ratio([2.0, 9.0, 4.0], [1.0, 2.0, 2.0]).value == pytest.approx(18 ** (1 / 3))


def test_its_interval_is_students_of_the_logarithms() -> None:
    above, below = [2.0, 9.0, 4.0], [1.0, 2.0, 2.0]
    measured = ratio(above, below)
    logarithms = np.log(above) - np.log(below)
    expected = stats.t.interval(0.95, 2, logarithms.mean(), stats.sem(logarithms))
    assert (measured.low, measured.high) == pytest.approx(tuple(np.exp(expected)))


def test_the_other_way_around_it_is_the_reciprocal() -> None:
    measured, reversed_ = ratio([2.0, 9.0], [1.0, 2.0]), ratio([1.0, 2.0], [2.0, 9.0])
    assert (1 / reversed_.high, 1 / reversed_.low) == pytest.approx((measured.low, measured.high))


def test_what_is_measured_twice_in_a_round_counts_once() -> None:
    """Here the rounds differ, 2 and 8, and what is measured within one agrees."""
    measured = ratio([1.0, 4.0, 4.0, 16.0], [1.0, 1.0, 1.0, 1.0], repeats=2)
    once = ratio([2.0, 8.0], [1.0, 1.0])
    assert (measured.value, measured.low, measured.high) == pytest.approx((once.value, once.low, once.high))


def test_intervals_of_two_rounds_cover_as_often_as_they_say() -> None:
    """2,000 experiments with a true ratio of 1.2: between 93.5 and 96.5 % are four standard errors and less."""
    random = np.random.default_rng(0)
    above, below = np.exp(random.normal([math.log(1.2), 0.0], 0.1, (2000, 2, 2))).transpose(2, 0, 1)
    measured = [ratio(list(one), list(other)) for one, other in zip(above, below, strict=True)]
    assert 0.935 <= np.mean([one.low <= 1.2 <= one.high for one in measured]) <= 0.965


def test_one_round_has_no_interval_and_decides_nothing() -> None:
    measured = ratio([3.0], [2.0])
    assert (str(measured), measured.at_least(1.0), measured.at_most(9.0)) == ("1.50", "undecided", "undecided")

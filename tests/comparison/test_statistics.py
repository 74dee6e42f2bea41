"""Intervals and tests against worked examples, scipy and simulation."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from convblocks.comparison import statistics


def test_mean_interval_is_students() -> None:
    values = [4.1, 5.2, 3.9, 4.7, 5.0]
    interval = statistics.mean_interval(values)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert interval.deviation == pytest.approx(np.std(values, ddof=1))
    assert interval.n == 5


def test_one_value_has_no_interval() -> None:
    interval = statistics.mean_interval([0.97])
    assert interval.mean == 0.97
    assert np.isnan([interval.deviation, interval.low, interval.high]).all()


@pytest.mark.parametrize("n", [5, 10])
def test_intervals_cover_the_mean_of_normal_data(n: int) -> None:
    rng = np.random.default_rng(0)
    intervals = [statistics.mean_interval(sample) for sample in rng.normal(1, 2, (4000, n))]
    covered = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    assert 0.93 <= covered <= 0.97


def test_intervals_cover_less_on_skewed_data(record_property: Callable[[str, object], None]) -> None:
    """Reported rather than hidden: on exponential data, n = 5, the t interval covers about 88 %."""
    rng = np.random.default_rng(0)
    intervals = [statistics.mean_interval(sample) for sample in rng.exponential(1, (4000, 5))]
    covered = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    record_property("coverage_exponential_n5", float(covered))
    assert 0.84 <= covered <= 0.93


def test_sign_flip_p_of_a_worked_example() -> None:
    """All 8 sign assignments of 1, 2, 3 have means +-6/3, +-4/3, +-2/3, 0, 0: two reach 2."""
    assert statistics.sign_flip_p([1, 2, 3]) == pytest.approx(2 / 8)
    assert statistics.sign_flip_p([1, 2, -3]) == pytest.approx(1)


def test_sign_flip_p_of_darwins_maize() -> None:
    """Fisher's own example: 863 of 2^14 assignments exceed on each side, counting those that equal it: p = 0.0526."""
    eighths = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert statistics.sign_flip_p(eighths) == pytest.approx(1726 / 2**15)


def test_sign_flip_p_needs_no_exact_zero() -> None:
    assert statistics.sign_flip_p([0.0, 0.0, 0.0]) == 1
    assert statistics.sign_flip_p([0.0, 0.0, 0.1]) == 1


def test_one_collapse_among_nine_wins_is_not_significant() -> None:
    assert statistics.sign_flip_p([2.5] * 9 + [-83.0]) == pytest.approx(1, abs=0.01)


def test_many_pairs_are_tested_with_random_signs() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1, 40).tolist()
    expected = stats.ttest_1samp(differences, 0).pvalue
    assert statistics.sign_flip_p(differences) == pytest.approx(expected, abs=0.01)


def test_holm_of_a_worked_example() -> None:
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_never_exceeds_one() -> None:
    assert statistics.holm([0.6, 0.9]) == [1, 1]


def test_probability_of_improvement_counts_ties_half() -> None:
    assert statistics.probability_of_improvement([1, 2], [0, 0]) == 1
    assert statistics.probability_of_improvement([1, 2], [1, 2]) == 0.5
    assert statistics.probability_of_improvement([0, 3], [1, 2]) == 0.5


def test_paired_differences_are_corrected_together() -> None:
    better, worse = [0.98, 0.97, 0.99, 0.98], [0.95, 0.95, 0.96, 0.94]
    first, second = statistics.paired_differences([(better, worse), (worse, better)])
    assert first is not None
    assert second is not None
    assert first.difference.mean == pytest.approx(0.03)
    assert (first.p, first.p_adjusted) == pytest.approx((2 / 16, 4 / 16))
    assert second.difference.mean == -first.difference.mean
    assert (first.improvement, second.improvement) == (1, 0)


def test_nothing_to_pair_is_not_compared() -> None:
    (one, other) = statistics.paired_differences([([], []), ([2.0], [1.0])])
    assert one is None
    assert other is not None
    assert other.p == 1


@pytest.mark.parametrize("comparisons", [1, 3, 9])
def test_sufficient_n_is_the_smallest(comparisons: int) -> None:
    n = statistics.sufficient_n(comparisons)

    def decided(pairs: int) -> bool:
        agreeing = ([float(pair + 1) for pair in range(pairs)], [0.0] * pairs)
        compared = statistics.paired_differences([agreeing] * comparisons)
        return all(one is not None and one.p_adjusted < statistics.SIGNIFICANCE for one in compared)

    assert decided(n)
    assert not decided(n - 1)


def test_wilson_interval_of_a_worked_example() -> None:
    """0 of 10: from 0 to z^2 / (n + z^2)."""
    assert statistics.wilson_interval(0, 10) == pytest.approx((0, 1.959964**2 / (10 + 1.959964**2)))


def test_binomial_standard_error_of_the_test_set() -> None:
    assert statistics.binomial_standard_error(0.99, 10_000) == pytest.approx(0.000995, abs=1e-6)

"""The probability that one network's run beats another's: worked examples, scipy, and coverage by simulation."""

from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from convblocks.comparison.statistics import superiority, superiority_interval
from convblocks.estimates import wilson

COLLAPSED = -np.inf


def test_ties_count_half() -> None:
    assert superiority([1, 2], [0, 0]).value == 1
    assert superiority([1, 2], [1, 2]).value == 0.5
    assert superiority([0, 3], [1, 2]).value == 0.5
    assert superiority([COLLAPSED], [COLLAPSED]).value == 0.5


def test_the_probability_is_scipys() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 9, 7).tolist(), rng.integers(0, 9, 12).tolist()
    expected = stats.mannwhitneyu(first, second).statistic / (7 * 12)
    assert superiority(first, second).value == pytest.approx(expected)


def test_p_without_ties_is_mann_whitneys() -> None:
    rng = np.random.default_rng(0)
    for sizes in ((5, 5), (8, 6), (4, 9)):
        first, second = rng.normal(1, 1, sizes[0]).tolist(), rng.normal(0, 1, sizes[1]).tolist()
        expected = stats.mannwhitneyu(first, second, method="exact").pvalue
        assert superiority(first, second).p == pytest.approx(expected)


def test_p_with_ties_is_that_of_all_divisions() -> None:
    first, second = [3, 3, 4, 5, 5], [1, 2, 3, 3, 3]

    def statistic(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        return float(stats.mannwhitneyu(first, second).statistic)

    expected = stats.permutation_test((first, second), statistic, vectorized=False).pvalue
    assert superiority(first, second).p == pytest.approx(expected)


def test_a_network_that_wins_unless_it_collapses_has_wilsons_interval() -> None:
    """Of ten runs two collapsed: 80 % [49, 94]."""
    found = superiority([0.96] * 8 + [COLLAPSED] * 2, [0.95] * 10)
    assert (found.value, found.n) == (0.8, 10)
    assert (found.low, found.high) == pytest.approx(wilson(8 / 10, 10))
    assert (round(found.low, 2), round(found.high, 2)) == (0.49, 0.94)


def test_how_low_a_collapsed_run_is_does_not_matter() -> None:
    better = [0.96, 0.97, 0.98]
    assert superiority([*better, COLLAPSED], [0.95] * 4) == superiority([*better, 0.1135], [0.95] * 4)


@pytest.mark.parametrize("n", [1, 5, 10, 12])
def test_runs_that_all_win_have_the_interval_of_n_successes(n: int) -> None:
    found = superiority([1.0] * n, [0.0] * n)
    assert found.value == 1
    assert (found.low, found.high) == pytest.approx(wilson(1, n))


def test_exchanged_samples_have_the_mirrored_interval() -> None:
    first, second = [1, 4, 6, 7, 7, 9], [0, 2, 3, 5, 7]
    found, mirrored = superiority(first, second), superiority(second, first)
    expected = (1 - found.value, 1 - found.high, 1 - found.low, found.p)
    assert (mirrored.value, mirrored.low, mirrored.high, mirrored.p) == pytest.approx(expected)


def test_many_values_have_delongs_interval() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.5, 1, 400), rng.normal(0, 1, 400)
    wins = np.greater.outer(first, second)
    deviation = (wins.mean(axis=1).var(ddof=1) / 400 + wins.mean(axis=0).var(ddof=1) / 400) ** 0.5
    probability, low, high = superiority_interval(first.tolist(), second.tolist())
    assert (low, high) == pytest.approx((probability - 1.96 * deviation, probability + 1.96 * deviation), abs=0.002)


def population(mean: float, *, deviation: float = 1.0, step: float = 0.0, collapsed: float = 0.0) -> list[float]:
    """A thousand equally likely values, rounded to multiples of ``step``, a share of them collapsed."""
    values = NormalDist(mean, deviation).inv_cdf
    trained = [values((k + 0.5) / 1000) for k in range(1000)]
    if step:
        trained = [round(value / step) * step for value in trained]
    rng = np.random.default_rng(0)
    rng.shuffle(trained)
    return [COLLAPSED if k < collapsed * 1000 else value for k, value in enumerate(trained)]


CASES = {
    "equal": (population(0), population(0)),
    "one deviation apart": (population(1), population(0)),
    "three deviations apart": (population(3), population(0)),
    "five deviations apart": (population(5), population(0)),
    "the other varies five times as much": (population(1), population(0, deviation=5)),
    "ties": (population(0, step=1), population(0, step=1)),
    "ties, two deviations apart": (population(2, step=1), population(0, step=1)),
    "hardly any two values": (population(0.5, step=3), population(0, step=1)),
    "better unless it collapses, in 5 %": (population(9, collapsed=0.05), population(0)),
    "better unless it collapses, in 10 %": (population(9, collapsed=0.1), population(0)),
    "better unless it collapses, in 20 %": (population(9, collapsed=0.2), population(0)),
    "a little better, collapses in 10 %": (population(1, collapsed=0.1), population(0)),
    "both collapse in 20 %": (population(1, collapsed=0.2), population(0, collapsed=0.2)),
    "only the other collapses": (population(1), population(0, collapsed=0.2)),
}


def coverage(case: str, n: int, m: int, repetitions: int) -> float:
    """How often the interval holds the probability, with n and m runs of the two networks."""
    first, second = CASES[case]
    rng = np.random.default_rng(0)
    probability, covered = superiority_interval(first, second)[0], 0
    for _ in range(repetitions):
        _, low, high = superiority_interval(rng.choice(first, n).tolist(), rng.choice(second, m).tolist())
        covered += low <= probability <= high
    return covered / repetitions


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(5, 5), (10, 10), (12, 12), (8, 10)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_interval_covers_the_probability(case: str, sizes: tuple[int, int]) -> None:
    """Wilson's own covers 90 % in the worst of these cases: a rate of 5 % and n = 10."""
    assert coverage(case, *sizes, repetitions=2000) >= 0.89


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 12])
def test_over_all_cases_it_covers_95_percent(n: int) -> None:
    assert np.mean([coverage(case, n, n, repetitions=1000) for case in CASES]) == pytest.approx(0.955, abs=0.015)


@pytest.mark.parametrize("case", ["ties", "five deviations apart", "a little better, collapses in 10 %"])
def test_the_interval_covers_under_ties_collapses_and_certainty(case: str) -> None:
    assert coverage(case, 10, 10, repetitions=1000) >= 0.93

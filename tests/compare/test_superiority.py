"""The probability that a value is better: worked examples, scipy, brute force; how often intervals hold the truth."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from convblocks.compare import statistics
from convblocks.compare.statistics import superiority
from convblocks.figures.estimates import wilson

COLLAPSED = -np.inf


@pytest.mark.parametrize(
    ("first", "second", "probability"),
    [([1, 2], [0, 0], 1), ([1, 2], [1, 2], 0.5), ([0, 3], [1, 2], 0.5), ([COLLAPSED], [COLLAPSED], 0.5)],
)
def test_ties_count_half(first: list[float], second: list[float], probability: float) -> None:
    assert superiority(first, second).value == probability


@pytest.mark.parametrize(("n", "collapsed"), [(1, 0), (5, 0), (10, 0), (10, 2), (12, 1)])
def test_if_collapses_alone_decide_the_interval_is_that_of_their_rate(n: int, collapsed: int) -> None:
    """How low a collapsed run is does not matter."""
    trained, others = [0.96] * (n - collapsed), [0.95] * n
    found = superiority([*trained, *[COLLAPSED] * collapsed], others)
    assert found.value == pytest.approx(1 - collapsed / n)
    assert (found.low, found.high) == pytest.approx(wilson(1 - collapsed / n, n))
    assert found == superiority([*trained, *[0.1135] * collapsed], others)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        pytest.param([3, 4, 5], [1, 2], 2 / 10, id="apart, as if the first were the lowest three"),
        pytest.param([3, 3], [1, 2], 2 / 6, id="apart, with ties"),
        pytest.param([0, 3], [1, 2], 1, id="a probability of 1/2"),
        pytest.param([2], [2, 2], 1, id="all tied"),
        # 3 and 4 exceed 2/3 of the others, which are exceeded by 1, 1 and 0: (1/6)^2 / (1/9) = 1/4. Only 2, 3 have the
        # same, and 1, 3 and 3, 5 have 2; 1, 4 and 2, 5 have the same effect, but 1/5.
        pytest.param([3, 4], [1, 2, 5], 6 / 10, id="as far from 1/2 as some that vary more"),
    ],
)
def test_worked_examples_of_superiority(first: list[float], second: list[float], p: float) -> None:
    assert superiority(first, second).p == p


def exact_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Of Brunner and Munzel's statistic over all divisions, in fractions, without rounding."""
    values = [*first, *second]
    found = [
        exact_brunner_munzel(*([values[k] for k in range(len(values)) if (k in chosen) == inside] for inside in (1, 0)))
        for chosen in combinations(range(len(values)), len(first))
    ]
    effect, variance = found[0]
    return sum(one**2 * variance >= effect**2 * its for one, its in found) / len(found)


def exact_brunner_munzel(first: Sequence[float], second: Sequence[float]) -> tuple[Fraction, Fraction]:
    """The probability less 1/2, and its variance."""
    placements = [
        [Fraction(sum((one > other) * 2 + (one == other) for other in others), 2 * len(others)) for one in own]
        for own, others in ((first, second), (second, first))
    ]
    means = [sum(own, Fraction()) / len(own) for own in placements]
    variance = sum(
        sum((one - mean) ** 2 for one in own) / (len(own) * (len(own) - 1))
        for own, mean in zip(placements, means, strict=True)
    )
    return means[0] - Fraction(1, 2), Fraction(variance)


@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (7, 4)])
def test_with_ties_and_collapsed_runs_its_p_is_exact(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    for _ in range(10):
        first, second = ([value or COLLAPSED for value in rng.integers(0, 6, size).tolist()] for size in sizes)
        assert superiority(first, second).p == exact_p(first, second)


def brunner_munzel(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    with np.errstate(divide="ignore"):  # samples that are apart have no variance
        return abs(float(stats.brunnermunzel(first, second, distribution="normal").statistic))


@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (7, 4)])
def test_its_p_is_that_of_scipys_statistic(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for step in (0.0, 0.5):
        samples = [rng.normal(1 - place, 1 + place, size) for place, size in enumerate(sizes)]
        if step:
            samples = [np.round(sample / step) * step for sample in samples]
        expected = stats.permutation_test(samples, brunner_munzel, vectorized=False, alternative="greater")
        assert superiority(*(sample.tolist() for sample in samples)).p == pytest.approx(expected.pvalue)


def test_beyond_the_exact_sizes_its_p_is_brunner_and_munzels() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(1, 1, 20), rng.normal(0, 3, 30)
    expected = stats.brunnermunzel(first, second).pvalue
    assert superiority(first.tolist(), second.tolist()).p == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("sizes", [(5, 5), (8, 6), (4, 9)])
def test_without_ties_superiority_is_mann_whitneys(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(1, 1, sizes[0]), rng.normal(0, 1, sizes[1])
    found = superiority(first.tolist(), second.tolist())
    assert found.n == min(sizes)
    assert found.value == pytest.approx(stats.mannwhitneyu(first, second).statistic / (sizes[0] * sizes[1]))


@pytest.mark.parametrize("sizes", [(5, 5), (12, 12), (8, 10)])
def test_its_interval_is_wilsons_for_the_share_of_the_largest_variance(sizes: tuple[int, int]) -> None:
    """DeLong's variance as a share of Birnbaum and Klose's bound, shrunk towards 1 as if by two more values."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(2, 9, sizes[0]).tolist(), rng.integers(0, 7, sizes[1]).tolist()
    wins = np.array([[(one > other) + (one == other) / 2 for other in second] for one in first])
    probability, n = wins.mean(), min(sizes)
    variance = wins.mean(axis=1).var(ddof=1) / sizes[0] + wins.mean(axis=0).var(ddof=1) / sizes[1]
    share = (n * variance / (probability * (1 - probability) / n) + 2) / (n + 2)
    found, mirrored = superiority(first, second), superiority(second, first)
    assert (found.low, found.high) == pytest.approx(wilson(probability, n / share))
    assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx(
        (1 - found.value, 1 - found.high, 1 - found.low)
    )


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


@pytest.fixture
def without_p(monkeypatch: pytest.MonkeyPatch) -> None:
    """The intervals alone take no time."""
    monkeypatch.setattr(statistics, "_p", lambda *_: 1.0)


def coverage(case: str, n: int, m: int, repetitions: int) -> float:
    """How often the interval holds the probability, with n and m runs of the two networks."""
    first, second = CASES[case]
    rng = np.random.default_rng(0)
    probability, covered = superiority(first, second).value, 0
    for _ in range(repetitions):
        found = superiority(rng.choice(first, n).tolist(), rng.choice(second, m).tolist())
        covered += found.low <= probability <= found.high
    return covered / repetitions


@pytest.mark.nightly
@pytest.mark.usefixtures("without_p")
@pytest.mark.parametrize("sizes", [(5, 5), (10, 10), (12, 12), (8, 10)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_interval_covers_the_probability(case: str, sizes: tuple[int, int]) -> None:
    """Wilson's own covers 90 % in the worst of these cases: a rate of 5 % and n = 10."""
    assert coverage(case, *sizes, repetitions=2000) >= 0.89


@pytest.mark.nightly
@pytest.mark.usefixtures("without_p")
@pytest.mark.parametrize("n", [5, 10, 12])
def test_over_all_cases_it_covers_95_percent(n: int) -> None:
    assert np.mean([coverage(case, n, n, repetitions=1000) for case in CASES]) == pytest.approx(0.955, abs=0.015)

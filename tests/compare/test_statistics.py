"""Intervals, tests and corrections: worked examples, scipy, statsmodels and brute force."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from convblocks.compare import statistics
from convblocks.compare.statistics import permutation_test, superiority
from convblocks.figures.estimates import LOSS, PERCENT, POINTS, SECONDS, Estimate, Unit

INF = np.inf


@pytest.mark.parametrize("values", [[4.1, 5.2, 3.9, 4.7, 5.0], [0.97, 0.98]])
def test_the_interval_of_a_mean_is_students(values: list[float]) -> None:
    interval = statistics.mean_interval(values)
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert (interval.value, interval.deviation) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert interval.n == len(values)


def test_one_value_has_no_interval() -> None:
    interval = statistics.mean_interval([0.97])
    assert interval.value == 0.97
    assert np.isnan([interval.deviation, interval.low, interval.high]).all()


@pytest.mark.parametrize(
    ("values", "unit", "interval"),
    [
        ([0.9, 1.0], PERCENT, (0.3147, 1)),
        ([0.001, 0.1], PERCENT, (0, 0.6794)),
        ([0.01, 0.2], LOSS, (0, 1.312)),
        ([1, 20], SECONDS, (0, 131.2)),
        ([0.01, 0.2], POINTS, (-1.102, 1.312)),
    ],
)
def test_the_interval_of_a_mean_does_not_leave_its_range(
    values: list[float], unit: Unit, interval: tuple[float, float]
) -> None:
    found = statistics.mean_interval(values, unit)
    assert (found.low, found.high) == pytest.approx(interval, rel=1e-3)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        # Of the 10 ways to take 2 of 1, 2, 3, 4, 9, only 1, 2 have a larger t^2 than 4.5^2 / (12.5 / 2 + 1 / 3) = 3.08:
        # 3.83^2 / (0.5 / 2 + 10.3 / 3) = 3.98.
        ([4, 9], [1, 2, 3], 2 / 10),
        # Equal values have no error, and of 462 divisions no other has none.
        ([0.3] * 6, [0.1] * 5, 1 / 462),
        # A value alone adds no error: 3 lies as far from 0, 1, 2.
        ([0], [1, 2, 3], 2 / 4),
        ([1], [0], 1),
        ([0.5, 0.5], [0.5] * 3, 1),
    ],
)
@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_worked_examples(first: list[float], second: list[float], p: float, unit: float) -> None:
    test = permutation_test([unit * value for value in first], [unit * value for value in second])
    assert test.value == pytest.approx(unit * (np.mean(first) - np.mean(second)))
    assert test.p == p


def exact_p_of_divisions(first: Sequence[int], second: Sequence[int], margin: int = 0) -> float:
    """In whole numbers, without rounding: neither the difference nor its variance is divided by the sizes."""
    values, n = [*(value - margin for value in first), *second], len(first)
    found = [
        exact_welch(*([value for k, value in enumerate(values) if (k in chosen) == inside] for inside in (True, False)))
        for chosen in combinations(range(len(values)), n)
    ]
    difference, variance = found[0]
    return sum(one**2 * variance >= difference**2 * its for one, its in found) / len(found)


def exact_welch(first: Sequence[int], second: Sequence[int]) -> tuple[int, int]:
    """The difference of means, times n m, and the square of its standard error, times (n m)^2 (n - 1) (m - 1)."""
    n, m = len(first), len(second)
    squares = [len(own) * sum(value**2 for value in own) - sum(own) ** 2 for own in (first, second)]
    return m * sum(first) - n * sum(second), m**2 * (m - 1) * squares[0] + n**2 * (n - 1) * squares[1]


@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (7, 4)])
def test_p_is_exact(sizes: tuple[int, int]) -> None:
    """Of accuracies in 1/10,000, of which many differences are tied."""
    rng = np.random.default_rng(sum(sizes))
    for _ in range(40):
        first, second = rng.integers(9930, 9939, sizes[0]), rng.integers(9928, 9936, sizes[1])
        found = permutation_test((first / 10_000).tolist(), (second / 10_000).tolist())
        assert found.p == exact_p_of_divisions(first.tolist(), second.tolist())


def welch(first: NDArray[np.float64], second: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.asarray(np.abs(stats.ttest_ind(first, second, axis=axis, equal_var=False).statistic))


@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (7, 4), (2, 9)])
def test_p_is_scipys(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        samples = [rng.normal(0.5 - place, 1 + place, size) for place, size in enumerate(sizes)]
        expected = stats.permutation_test(samples, welch, alternative="greater")
        assert permutation_test(*(sample.tolist() for sample in samples)).p == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("sizes", [(4, 4), (3, 6), (20, 30), (51, 60)])
def test_the_interval_is_welchs_and_beyond_the_exact_sizes_p_agrees_with_it(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    samples = [rng.normal(1 - place, 1 + 2 * place, size) for place, size in enumerate(sizes)]
    test, students = permutation_test(*map(np.ndarray.tolist, samples)), stats.ttest_ind(*samples, equal_var=False)
    assert (test.low, test.high) == pytest.approx(tuple(students.confidence_interval()))
    if sum(sizes) > 20:
        assert test.p == pytest.approx(students.pvalue, abs=0.01)


def test_many_values_are_tested_without_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(0.5, 1, 51).tolist(), rng.normal(0, 3, 60).tolist()
    found = [test(first, second).p for test in (permutation_test, superiority)]
    monkeypatch.setattr(statistics, "MANY", 60)
    assert found == pytest.approx([test(first, second).p for test in (permutation_test, superiority)], abs=0.01)
    assert [superiority([place] * 61, [0.0] * 61).p for place in (-INF, 0.0)] == [0, 1]
    assert [permutation_test([place] * 61, [0.0] * 61).p for place in (-1.0, 0.0)] == [0, 1]


@pytest.mark.parametrize(
    ("first", "second", "interval"),
    [
        pytest.param([0.9, 0.91, 0.92], [0.1, 0.2, 0.3], (-INF, INF), id="no division is significant"),
        pytest.param([0.9], [0.1 * value for value in range(30)], (-INF, INF), id="one value has no spread"),
        pytest.param([0.25] * 6, [0.5] * 6, (-0.25, -0.25), id="equal values"),
    ],
)
def test_the_interval_of_few_or_equal_values(
    first: list[float], second: list[float], interval: tuple[float, float]
) -> None:
    test = permutation_test(first, second)
    assert (test.low, test.high) == interval


@pytest.fixture
def few_divisions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """4,096 random ones, which are enough to see whether p is below 5 %."""
    monkeypatch.setattr(statistics, "EXACT_DIVISIONS", 0)
    monkeypatch.setattr(statistics, "RANDOM_DIVISIONS", statistics.BLOCK)
    statistics.divisions.cache_clear()
    yield
    statistics.divisions.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("few_divisions")
@pytest.mark.parametrize("tested", [permutation_test, superiority])
def test_if_the_smaller_sample_varies_more_what_is_true_is_seldom_rejected(tested: Callable[..., Estimate]) -> None:
    """The sizes and deviations of the study's runs at the notebook's setting; Pitman's test rejects 12 % of these."""
    rng = np.random.default_rng(0)
    samples = [(rng.normal(0, 0.17, 12).tolist(), rng.normal(0, 0.66, 8).tolist()) for _ in range(1000)]
    assert np.mean([tested(*both).p < 0.05 for both in samples]) <= 0.08


@pytest.mark.parametrize("sizes", [(1, 1), (3, 3), (5, 5), (8, 10), (3, 2), (12, 12)])
def test_least_p_unpaired_is_that_of_samples_apart(sizes: tuple[int, int]) -> None:
    n, m = sizes
    apart = permutation_test([1000.0 + value for value in range(n)], [float(value) for value in range(m)])
    assert statistics.least_p_unpaired(n, m) == apart.p


@pytest.mark.parametrize("values", [[0.01, 0.04, 0.03, 0.005], [0.6, 0.9], [0.0, 0.1, 0.1, 0.7, 0.3], [1.0]])
def test_holms_correction_is_statsmodels(values: list[float]) -> None:
    assert statistics.holm(values) == pytest.approx(multipletests(values, method="holm")[1])
    assert statistics.holm([]) == []
    assert statistics.holm(values, len(values) + 2) == pytest.approx(statistics.holm([*values, 1, 1])[: len(values)])


VALUES = [0.1, 0.3, 0.2]
OF_ONE_SAMPLE: list[Callable[[list[float]], object]] = [
    statistics.mean_interval,
    partial(permutation_test, VALUES),
    partial(permutation_test, second=VALUES),
    partial(superiority, VALUES),
    partial(superiority, second=VALUES),
]


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        *((partial(compute, []), "empty") for compute in OF_ONE_SAMPLE),
        *((partial(compute, [0.1, float("nan"), 0.2]), "nan") for compute in OF_ONE_SAMPLE),
        *((partial(compute, [0.1, INF, 0.2]), "infinite") for compute in OF_ONE_SAMPLE[:3]),
        *((partial(statistics.holm, [0.5, p]), "between 0 and 1") for p in (float("nan"), -0.1, 1.1)),
    ],
)
def test_values_without_a_meaning_are_refused(compute: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compute()

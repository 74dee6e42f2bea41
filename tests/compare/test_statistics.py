"""Intervals, tests and corrections: worked examples, scipy, statsmodels and brute force
in whole numbers.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from convblocks.compare import statistics
from convblocks.compare.statistics import superiority
from convblocks.figures.estimates import LOSS, PERCENT, POINTS, Unit, wilson

INF = np.inf
COLLAPSED = -INF

# The effect of two samples, and the square of its error.
Statistic = Callable[..., tuple[Any, Any]]


def test_mean_has_students_interval_and_a_single_value_none() -> None:
    values = [4.1, 5.2, 3.9, 4.7, 5.0]
    mean = statistics.mean_interval(values)
    expected = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (mean.low, mean.high) == pytest.approx(expected)
    assert (mean.value, mean.deviation, mean.n) == pytest.approx(
        (np.mean(values), np.std(values, ddof=1), 5)
    )
    single = statistics.mean_interval([0.97])
    assert single.value == 0.97
    assert np.isnan([single.deviation, single.low, single.high]).all()


@pytest.mark.parametrize(
    ("values", "unit", "interval"),
    [
        ([0.9, 1.0], PERCENT, (0.3147, 1)),
        ([0.01, 0.2], LOSS, (0, 1.312)),
        ([0.01, 0.2], POINTS, (-1.102, 1.312)),
    ],
)
def test_mean_has_no_interval_beyond_its_range(
    values: list[float], unit: Unit, interval: tuple[float, float]
) -> None:
    found = statistics.mean_interval(values, unit)
    assert (found.low, found.high) == pytest.approx(interval, rel=1e-3)


def exact_p(statistic: Statistic, first: Sequence[float], second: Sequence[float]) -> float:
    """The share of all divisions whose effect, over its error, is as large as that of
    these samples.
    """
    values = [*first, *second]
    divisions = [
        statistic(
            *(
                [values[k] for k in range(len(values)) if (k in chosen) == inside]
                for inside in (True, False)
            )
        )
        for chosen in combinations(range(len(values)), len(first))
    ]
    effect, variance = divisions[0]
    extreme = [another**2 * variance >= effect**2 * its for another, its in divisions]
    return float(np.mean(extreme))


@pytest.mark.parametrize(
    "values", [[0.01, 0.04, 0.03, 0.005], [0.6, 0.9], [0.0, 0.1, 0.1, 0.7, 0.3], [1.0]]
)
def test_holms_correction_is_statsmodels(values: list[float]) -> None:
    assert statistics.holm(values) == pytest.approx(multipletests(values, method="holm")[1])
    assert statistics.holm([]) == []


@pytest.mark.parametrize("divisions", [20, 60, 70, 120, 210, 252, 924])
def test_interval_at_holms_level_leaves_0_out_just_where_the_adjusted_p_is_below_5_percent(
    divisions: int,
) -> None:
    """Of p-values as permutations have, of which some stand at a level itself. An interval
    leaves out what as few divisions reject as this.
    """
    rng = np.random.default_rng(divisions)
    for _ in range(200):
        counts = rng.integers(1, divisions // 6, rng.integers(1, 8))
        p_values = (counts / divisions).tolist()
        adjusted, levels = statistics.holm(p_values), statistics.holm_levels(p_values)
        accepted = [
            count >= np.ceil(level * divisions - statistics.TOLERANCE)
            for count, level in zip(counts, levels, strict=True)
        ]
        assert accepted == [p >= statistics.SIGNIFICANCE for p in adjusted]


def test_holms_level_is_that_of_the_first_of_equal_p_values_or_where_it_stopped() -> None:
    assert statistics.holm_levels([0.01, 0.001, 0.01]) == pytest.approx([0.025, 0.05 / 3, 0.025])
    assert statistics.holm_levels([0.04, 0.001, 0.03]) == pytest.approx([0.025, 0.05 / 3, 0.025])


@pytest.mark.parametrize(
    ("first", "second", "probability"),
    [
        ([1, 2], [0, 0], 1),
        ([1, 2], [1, 2], 0.5),
        ([0, 3], [1, 2], 0.5),
        ([COLLAPSED], [COLLAPSED], 0.5),
    ],
)
def test_superiority_counts_ties_half(
    first: list[float], second: list[float], probability: float
) -> None:
    assert superiority(first, second).value == probability


@pytest.mark.parametrize(("n", "collapsed"), [(1, 0), (10, 0), (10, 2)])
def test_superiority_has_the_interval_of_collapses_if_these_alone_decide(
    n: int, collapsed: int
) -> None:
    """How low a collapsed run is does not matter."""
    trained, others = [0.96] * (n - collapsed), [0.95] * n
    found = superiority([*trained, *[COLLAPSED] * collapsed], others)
    assert found.value == pytest.approx(1 - collapsed / n)
    assert (found.low, found.high) == pytest.approx(wilson(1 - collapsed / n, n))
    assert found == superiority([*trained, *[0.1135] * collapsed], others)


def exact_brunner_munzel(
    first: Sequence[float], second: Sequence[float]
) -> tuple[Fraction, Fraction]:
    """In fractions, without rounding: the probability less 1/2, and its variance."""
    placements = [
        [
            Fraction(
                sum((value > other) * 2 + (value == other) for other in others), 2 * len(others)
            )
            for value in own
        ]
        for own, others in ((first, second), (second, first))
    ]
    means = [sum(own, Fraction()) / len(own) for own in placements]
    variance = sum(
        sum((value - mean) ** 2 for value in own) / (len(own) * (len(own) - 1))
        for own, mean in zip(placements, means, strict=True)
    )
    return means[0] - Fraction(1, 2), Fraction(variance)


@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (7, 4)])
def test_superiority_has_an_exact_p_with_ties_and_collapsed_runs(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    for _ in range(10):
        first, second = (
            [value or COLLAPSED for value in rng.integers(0, 6, size).tolist()] for size in sizes
        )
        assert superiority(first, second).p == exact_p(exact_brunner_munzel, first, second)


def test_superiority_beyond_the_exact_sizes_has_brunner_and_munzels_p() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(1, 1, 20), rng.normal(0, 3, 30)
    expected = stats.brunnermunzel(first, second).pvalue
    assert superiority(first.tolist(), second.tolist()).p == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("sizes", [(5, 5), (12, 12), (8, 10)])
def test_superiority_has_wilsons_interval_for_the_share_of_the_largest_variance(
    sizes: tuple[int, int],
) -> None:
    """DeLong's variance as a share of Birnbaum and Klose's bound, shrunk towards 1 as
    if by two more values.
    """
    rng = np.random.default_rng(0)
    first, second = rng.integers(2, 9, sizes[0]).tolist(), rng.integers(0, 7, sizes[1]).tolist()
    wins = np.array(
        [[(value > other) + (value == other) / 2 for other in second] for value in first]
    )
    probability, n = wins.mean(), min(sizes)
    variance = wins.mean(axis=1).var(ddof=1) / sizes[0] + wins.mean(axis=0).var(ddof=1) / sizes[1]
    share = (n * variance / (probability * (1 - probability) / n) + 2) / (n + 2)
    found, mirrored = superiority(first, second), superiority(second, first)
    assert (found.low, found.high) == pytest.approx(wilson(probability, n / share))
    assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx(
        (1 - found.value, 1 - found.high, 1 - found.low)
    )


VALUES = [0.1, 0.3, 0.2]
OF_ONE_SAMPLE: list[Callable[[list[float]], object]] = [
    statistics.mean_interval,
    partial(superiority, VALUES),
    partial(superiority, second=VALUES),
]


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        *((partial(compute, []), "empty") for compute in OF_ONE_SAMPLE),
        *((partial(compute, [0.1, float("nan"), 0.2]), "nan") for compute in OF_ONE_SAMPLE),
        *((partial(compute, [0.1, INF, 0.2]), "infinite") for compute in OF_ONE_SAMPLE[:1]),
    ],
)
def test_statistics_refuse_values_without_a_meaning(
    compute: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        compute()

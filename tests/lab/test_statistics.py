"""The paper's statistics against brute force and statsmodels."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from convblocks.figures.estimates import Estimate
from lab.statistics import exact_permutation_test, mcnemar_p, two_way_interval
from tests.compare.test_statistics import exact_p, exact_welch

INF = np.inf


def divisions_of(first: NDArray[np.int64], second: NDArray[np.int64], margin: int = 0) -> Estimate:
    return exact_permutation_test(
        (first / 10_000).tolist(), (second / 10_000).tolist(), margin=margin / 10_000
    )


def exact_p_of_divisions(first: list[int], second: list[int], margin: int = 0) -> float:
    """Of samples that differ by the margin."""
    return exact_p(exact_welch, [value - margin for value in first], second)


@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (7, 4)])
def test_p_is_exact_and_the_interval_holds_the_margins_that_are_not_rejected(
    sizes: tuple[int, int],
) -> None:
    """Accuracies in 1/10,000, of which many differences are tied."""
    rng = np.random.default_rng(sum(sizes))
    for _ in range(4):
        first, second = rng.integers(9930, 9939, sizes[0]), rng.integers(9928, 9934, sizes[1])
        estimate = divisions_of(first, second)
        for margin in range(-8, 16):
            p = exact_p_of_divisions(first.tolist(), second.tolist(), margin)
            assert divisions_of(first, second, margin).p == p
            assert (estimate.low <= margin / 10_000 <= estimate.high) == (p >= 0.05)


RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    "tested",
    [
        partial(exact_permutation_test, RNG.normal(1, 1, 9).tolist(), RNG.normal(0, 9, 3).tolist()),
        partial(
            exact_permutation_test, RNG.normal(1, 1, 12).tolist(), RNG.normal(0, 1, 12).tolist()
        ),
    ],
)
def test_interval_ends_where_rejection_begins(tested: Callable[..., Estimate]) -> None:
    test = tested()
    assert tested(margin=test.low).p >= 0.05 > tested(margin=test.low - 1e-9).p
    assert tested(margin=test.high).p >= 0.05 > tested(margin=test.high + 1e-9).p


@pytest.mark.parametrize(
    ("only_first", "only_second"), [(0, 4), (1, 2), (6, 0), (7, 3), (25, 25), (110, 74)]
)
def test_mcnemars_test_is_statsmodels(only_first: int, only_second: int) -> None:
    expected = mcnemar([[9000, only_first], [only_second, 50]], exact=True).pvalue
    assert mcnemar_p(only_first, only_second) == pytest.approx(expected)
    assert mcnemar_p(0, 0) == 1


def answers(
    rng: np.random.Generator, accuracy: float, hard: NDArray[np.float64], seeds: int
) -> NDArray[np.bool_]:
    """Right or wrong: whether a seed fails an image depends on chance, on the seed, and
    on the image.
    """
    luck = rng.normal(size=(seeds, len(hard))) + 0.1 * rng.normal(size=(seeds, 1)) + hard
    return np.asarray(luck < stats.norm.ppf(accuracy) * (2 + 0.1**2) ** 0.5)


def test_two_way_interval_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(size=60)
    first, second = answers(rng, 0.9, hard, 5), answers(rng, 0.7, hard, 3)
    difference = first.mean() - second.mean()
    drawn = []
    for _ in range(4000):
        images = rng.integers(60, size=60)
        by_image = first[:, images].mean() - second[:, images].mean() - difference
        by_seed = []
        for right in (first, second):
            seeds = rng.integers(len(right), size=len(right) - 1)
            by_seed.append(right[seeds].mean() - right.mean())
        drawn.append(difference + by_image + by_seed[0] - by_seed[1])
    estimate = two_way_interval(first, second)
    assert estimate.value == pytest.approx(difference)
    assert (estimate.low, estimate.high) == pytest.approx(
        np.quantile(drawn, [0.025, 0.975]), abs=0.012
    )
    assert two_way_interval(first, second) == estimate


ONES = np.ones((3, 4), dtype=bool)


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (partial(exact_permutation_test, [], [0.2]), "empty"),
        # A run whose loss is nan once had p = 0: no division is as extreme as nan.
        (partial(exact_permutation_test, [0.1, float("nan")], [0.2]), "nan"),
        (partial(exact_permutation_test, [0.1, INF], [0.2]), "infinite"),
        *(
            (partial(two_way_interval, ONES, ONES[:n, :m]), "cannot compare")
            for n, m in ((0, 4), (3, 0), (3, 2))
        ),
        (partial(two_way_interval, ONES, ONES.astype(float)), "boolean"),
    ],
)
def test_values_without_a_meaning_are_refused(compute: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compute()

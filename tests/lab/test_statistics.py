"""The paper's statistics against brute force and statsmodels; the spread that independent errors
would give is that of errors which are independent.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from convblocks.record.result import RunResult
from lab.statistics import mistakes, sign_p, spread_of, two_way_interval
from tests.made_up import result

INF = np.inf


@pytest.mark.parametrize(
    ("only_first", "only_second"), [(0, 4), (1, 2), (6, 0), (7, 3), (25, 25), (110, 74)]
)
def test_mcnemars_test_is_statsmodels(only_first: int, only_second: int) -> None:
    expected = mcnemar([[9000, only_first], [only_second, 50]], exact=True).pvalue
    assert sign_p(only_first, only_second) == pytest.approx(expected)
    assert sign_p(0, 0) == 1


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


IMAGES = 10_000


def runs_that_err(share: np.ndarray, count: int, common: float = 0.0) -> list[RunResult]:
    """Runs whose images are wrong with these probabilities, all moved by a number of
    each run's own.
    """
    generator = np.random.default_rng(0)
    runs = []
    for seed in range(count):
        wrong = generator.random(IMAGES) < share + common * generator.normal()
        runs.append(
            result(
                "maxpool",
                seed,
                1 - wrong.mean(),
                facts={"mistakes": np.flatnonzero(wrong).tolist()},
            )
        )
    return runs


def test_spread_of_independent_errors_is_what_they_would_give() -> None:
    found = spread_of(runs_that_err(np.random.default_rng(1).beta(0.1, 5, IMAGES), 60))
    assert found is not None
    assert found.low < found.independent < found.high
    assert found.independent == pytest.approx(found.seen, rel=0.25)


def test_spread_of_runs_that_differ_as_a_whole_is_larger() -> None:
    found = spread_of(runs_that_err(np.full(IMAGES, 0.05), 60, common=0.01))
    assert found is not None
    assert found.low > 1.5 * found.independent


def test_mistakes_are_the_images_of_the_record() -> None:
    assert np.flatnonzero(mistakes(result("mlp", 0, 0.9, facts={"mistakes": [3, 5]}))).tolist() == [
        3,
        5,
    ]
    assert spread_of([result("mlp", 0, 0.9, facts={"mistakes": [3]})]) is None

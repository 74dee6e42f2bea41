"""The spread that independent errors would give is that of errors which are independent."""

import numpy as np
import pytest

from convblocks.run.result import RunResult
from lab.study.variance import mistakes, spread_of
from tests.made_up import result

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

"""How often the intervals that rest on approximations hold the truth, by simulation."""

from statistics import NormalDist

import numpy as np
import pytest

from convblocks.comparison.statistics import superiority_interval, two_way_interval
from tests.comparison.test_statistics import answers

pytestmark = pytest.mark.nightly

COLLAPSED = -np.inf


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


@pytest.mark.parametrize("sizes", [(5, 5), (10, 10), (12, 12), (8, 10)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_interval_covers_the_probability(case: str, sizes: tuple[int, int]) -> None:
    """Wilson's own covers 90 % in the worst of these cases: a rate of 5 % and n = 10."""
    assert coverage(case, *sizes, repetitions=2000) >= 0.89


@pytest.mark.parametrize("n", [5, 10, 12])
def test_over_all_cases_it_covers_95_percent(n: int) -> None:
    assert np.mean([coverage(case, n, n, repetitions=1000) for case in CASES]) == pytest.approx(0.955, abs=0.015)


@pytest.mark.parametrize("seeds", [5, 12])
def test_the_two_way_interval_covers_the_difference(seeds: int) -> None:
    """Networks that are right in 95 and 90 % of all cases, on new images and with new seeds each time."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        hard = rng.normal(size=300)
        found = two_way_interval(answers(rng, 0.95, hard, seeds), answers(rng, 0.9, hard, seeds))
        covered += found.low <= 0.05 <= found.high
    assert 0.94 <= covered / 1000 <= 0.99

"""The permutation test of means: worked examples, scipy, brute force in whole numbers,
and its interval against the test itself.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.power import tt_ind_solve_power

from convblocks.compare import means
from convblocks.compare.means import permutation_test, runs_needed, runs_that_decide
from convblocks.compare.statistics import least_p_unpaired
from convblocks.figures.estimates import Estimate
from tests.compare.test_statistics import exact_p

INF = np.inf

# Accuracies in 1/10,000, of which many differences are tied.
Accuracies = NDArray[np.int64]


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        # Of the 10 ways to take 2 of 1, 2, 3, 4, 9, only 1, 2 have a larger t^2 than
        # 4.5^2 / (12.5 / 2 + 1 / 3) = 3.08: 3.83^2 / (0.5 / 2 + 10.3 / 3) = 3.98.
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
def test_permutation_test_of_worked_examples(
    first: list[float], second: list[float], p: float, unit: float
) -> None:
    test = permutation_test([unit * value for value in first], [unit * value for value in second])
    assert test.value == pytest.approx(unit * (np.mean(first) - np.mean(second)))
    assert test.p == p


def exact_welch(first: Sequence[int], second: Sequence[int]) -> tuple[int, int]:
    """The difference of means, times n m, and the square of its standard error, times
    (n m)^2 (n - 1) (m - 1).

    In whole numbers, without rounding.
    """
    n, m = len(first), len(second)
    squares = [len(own) * sum(value**2 for value in own) - sum(own) ** 2 for own in (first, second)]
    variance = m**2 * (m - 1) * squares[0] + n**2 * (n - 1) * squares[1]
    return m * sum(first) - n * sum(second), variance


def of_accuracies(first: Accuracies, second: Accuracies, margin: int = 0) -> Estimate:
    return permutation_test(
        (first / 10_000).tolist(), (second / 10_000).tolist(), margin=margin / 10_000
    )


@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (7, 4)])
def test_permutation_test_is_exact(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    for _ in range(40):
        first, second = rng.integers(9930, 9939, sizes[0]), rng.integers(9928, 9936, sizes[1])
        found = of_accuracies(first, second)
        assert found.p == exact_p(exact_welch, first.tolist(), second.tolist())


@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (7, 4)])
def test_interval_holds_the_margins_that_are_not_rejected(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    for _ in range(4):
        first, second = rng.integers(9930, 9939, sizes[0]), rng.integers(9928, 9934, sizes[1])
        estimate = of_accuracies(first, second)
        for margin in range(-8, 16):
            p = exact_p(exact_welch, [value - margin for value in first.tolist()], second.tolist())
            assert of_accuracies(first, second, margin).p == p
            assert (estimate.low <= margin / 10_000 <= estimate.high) == (p >= 0.05)


def sample(n: int, mean: float, spread: float) -> list[float]:
    drawn: list[float] = np.random.default_rng(n).normal(mean, spread, n).tolist()
    return drawn


@pytest.mark.parametrize("level", [0.05, 0.05 / 3])
@pytest.mark.parametrize(
    "tested",
    [
        pytest.param(partial(permutation_test, sample(9, 1, 1), sample(3, 0, 9)), id="9 and 3"),
        pytest.param(partial(permutation_test, sample(5, 1, 1), sample(6, 0, 1)), id="exact"),
        pytest.param(partial(permutation_test, sample(12, 1, 1), sample(40, 0, 2)), id="sampled"),
        pytest.param(partial(permutation_test, sample(51, 1, 1), sample(60, 0, 2)), id="many"),
    ],
)
def test_interval_ends_where_the_test_begins_to_reject(
    tested: Callable[..., Estimate], level: float
) -> None:
    found = tested(level=level)
    for inside, step in ((found.low, -1e-9), (found.high, 1e-9)):
        assert tested(margin=inside - step).p >= level > tested(margin=inside + step).p


def bisected(tested: Callable[..., Estimate], inner: float, outer: float) -> float:
    """The margin between these at which p falls below 5 %."""
    for _ in range(60):
        middle = (inner + outer) / 2
        if tested(margin=middle, level=0).p >= 0.05:
            inner = middle
        else:
            outer = middle
    return inner


@pytest.mark.parametrize("sizes", [(4, 4), (5, 5), (8, 8), (4, 7), (2, 9)])
def test_interval_is_that_of_a_bisection_with_the_test(sizes: tuple[int, int]) -> None:
    n, m = sizes
    tested = partial(permutation_test, sample(n, 1, 1), sample(m, 0, 2))
    found = tested()
    assert found.low == pytest.approx(bisected(tested, found.value, found.value - 50))
    assert found.high == pytest.approx(bisected(tested, found.value, found.value + 50))


@pytest.mark.parametrize("n", [4, 5, 7])
def test_interval_of_samples_of_one_size_ends_at_an_order_statistic(n: int) -> None:
    """If all but one of k values that a division exchanges are as if moved by t, its
    difference a - b t is as large as t up to a critical t, and sorting these gives p.
    """
    first, second = np.array(sample(n, 1, 1)), np.array(sample(n + 1, 0, 2)[:n])
    centred = np.concatenate([first - first.mean(), second - second.mean()])
    critical = []
    for chosen in combinations(range(2 * n), n):
        own = np.isin(np.arange(2 * n), chosen)
        a = centred[own].mean() - centred[~own].mean()
        b = np.mean(own[:n]) - np.mean(own[n:])
        if abs(b) < 1:
            critical.append([abs(a) / (1 + side * b * np.sign(a)) for side in (1, -1)])
    # At least so many must be as extreme, and two always are.
    place = int(np.ceil(0.05 * (len(critical) + 2))) - 3
    upper, lower = np.sort(critical, axis=0)[::-1][place]
    found = permutation_test(first.tolist(), second.tolist())
    assert found.high == pytest.approx(found.value + upper)
    assert found.low == pytest.approx(found.value - lower)


@pytest.mark.parametrize("sizes", [(4, 4), (3, 6), (5, 7)])
def test_p_is_scipys_where_no_values_are_tied(sizes: tuple[int, int]) -> None:
    samples = sample(sizes[0], 1, 1), sample(sizes[1], 0, 3)

    def distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        return abs(float(stats.ttest_ind(first, second, equal_var=False).statistic))

    expected = stats.permutation_test(
        samples, distance, vectorized=False, alternative="greater", n_resamples=1000
    )
    assert permutation_test(*samples).p == pytest.approx(expected.pvalue)


def test_p_and_interval_never_disagree() -> None:
    """Also where p rises again beyond 0, of samples of different sizes and spreads."""
    rng = np.random.default_rng(0)
    disagreements = []
    for _ in range(400):
        n, m = rng.integers(1, 9, 2)
        first, second = rng.integers(0, 9, n) + rng.integers(0, 5), rng.integers(0, 3, m)
        level = 0.05 / int(rng.integers(1, 4))
        found = permutation_test(first.tolist(), second.tolist(), level=level)
        if (found.low <= 0 <= found.high) != (found.p >= level):
            disagreements.append((first, second, level))
    assert disagreements == []


def test_rejected_margin_stays_out_where_p_rises_again_beyond_it() -> None:
    tested = partial(permutation_test, [-2.0, -2.0], [-4.0, 1.0, 1.0, 1.0, -1.0, 1.0, 2.0, 3.0])
    found = tested()
    assert found.p < 0.05 < tested(margin=1).p
    assert found.high < 0


@pytest.mark.parametrize("sizes", [(20, 30), (51, 60)])
def test_beyond_the_exact_sizes_p_and_interval_are_nearly_welchs(sizes: tuple[int, int]) -> None:
    samples = sample(sizes[0], 1, 1), sample(sizes[1], 0, 3)
    found = permutation_test(*samples)
    welch = stats.ttest_ind(*samples, equal_var=False)
    width = found.high - found.low
    assert found.p == pytest.approx(welch.pvalue, abs=0.01)
    assert (found.low, found.high) == pytest.approx(
        tuple(welch.confidence_interval()), abs=0.05 * width
    )


def test_many_values_take_no_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = sample(51, 0.5, 1), sample(60, 0, 3)
    found = permutation_test(*samples)
    monkeypatch.setattr(means, "MANY", 60)
    permuted = permutation_test(*samples)
    assert (found.p, found.low, found.high) == pytest.approx(
        (permuted.p, permuted.low, permuted.high), abs=0.05
    )
    assert [permutation_test([place] * 61, [0.0] * 61).p for place in (-1.0, 0.0)] == [0, 1]


@pytest.mark.parametrize(
    ("first", "second", "interval"),
    [
        pytest.param(
            [0.9, 0.91, 0.92], [0.1, 0.2, 0.3], (-INF, INF), id="no division is significant"
        ),
        pytest.param([0.9], [0.1 * value for value in range(18)], (-INF, INF), id="one value"),
        pytest.param([0.25] * 6, [0.5] * 6, (-0.25, -0.25), id="equal values"),
    ],
)
def test_permutation_test_of_few_or_equal_values(
    first: list[float], second: list[float], interval: tuple[float, float]
) -> None:
    test = permutation_test(first, second)
    assert (test.low, test.high) == interval
    assert test == -permutation_test(second, first)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 3), (5, 5), (8, 10), (3, 2), (12, 12)])
def test_least_p_unpaired_is_that_of_samples_apart(sizes: tuple[int, int]) -> None:
    n, m = sizes
    apart = permutation_test(
        [1000.0 + value for value in range(n)], [float(value) for value in range(m)]
    )
    assert least_p_unpaired(n, m) == apart.p


@pytest.mark.parametrize(
    ("effect", "tests", "power"), [(3, 1, 0.8), (1.5, 1, 0.8), (1, 3, 0.8), (0.5, 1, 0.9)]
)
def test_runs_needed_are_statsmodels(effect: float, tests: int, power: float) -> None:
    spread = np.array([-1.0, 0, 1])
    first = spread + effect
    needed = runs_needed(first.tolist(), spread.tolist(), tests, power)
    expected = tt_ind_solve_power(effect, alpha=0.05 / tests, power=power)
    assert needed is not None
    assert -0.1 < needed - expected < 1.2
    assert needed >= runs_that_decide(tests)


def test_no_number_of_runs_finds_what_is_not_there() -> None:
    assert runs_needed([0.1, 0.2], [0.2, 0.1]) is None
    assert runs_needed([0.1], [0.2]) is None


@pytest.mark.parametrize(("tests", "n"), [(1, 4), (3, 5), (15, 6)])
def test_so_many_runs_can_decide(tests: int, n: int) -> None:
    assert runs_that_decide(tests) == n
    apart = permutation_test([1.0 + place for place in range(n)], [-1.0 - n for n in range(n)])
    assert apart.p * tests < 0.05


VALUES = [0.1, 0.3, 0.2]


@pytest.mark.parametrize(
    "tested", [partial(permutation_test, VALUES), partial(permutation_test, second=VALUES)]
)
@pytest.mark.parametrize(
    ("sample", "message"),
    [([], "empty"), ([0.1, float("nan"), 0.2], "nan"), ([0.1, INF, 0.2], "infinite")],
)
def test_values_without_a_meaning_are_refused(
    tested: Callable[[list[float]], Estimate], sample: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tested(sample)

"""Intervals, tests and corrections: worked examples, scipy, statsmodels and brute force."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations, product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from convblocks.compare import permutations, statistics
from convblocks.compare.statistics import permutation_test, sign_flip_test, two_way_interval
from convblocks.compare.superiority import superiority
from convblocks.figures.estimates import Estimate

INF = np.inf

# Two networks' accuracies with eight seeds, in 1/10,000, of which rounding once made 0.0469 and an interval near 0.
EIGHT = [9937, 9933, 9935, 9944, 9940, 9952, 9939, 9939]
EIGHT_OTHERS = [9922, 9928, 9934, 9914, 9941, 9927, 9941, 9935]


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
    ("tested", "value", "p", "interval"),
    [
        # All 8 assignments of signs to 1, 2, 3 have means +-6/3, +-4/3, +-2/3, 0, 0: two reach 2.
        (partial(sign_flip_test, [1, 2, 3]), 2, 2 / 8, (-INF, INF)),
        # Six pairs have an interval from the least to the largest, equal ones a single point.
        (partial(sign_flip_test, [3, 1, 4, 2, 6, 9]), 25 / 6, 2 / 64, (1, 9)),
        (partial(sign_flip_test, [0.01] * 10), 0.01, 2 / 1024, (0.01, 0.01)),
        (partial(sign_flip_test, [0.0, 0.0, 0.1]), 0.1 / 3, 1, (-INF, INF)),
        # Of the 10 ways to take 2 of 1, 2, 3, 4, 9, only 1, 2 have a larger t^2 than 4.5^2 / (12.5 / 2 + 1 / 3) = 3.08:
        # 3.83^2 / (0.5 / 2 + 10.3 / 3) = 3.98.
        (partial(permutation_test, [4, 9], [1, 2, 3]), 4.5, 2 / 10, (-INF, INF)),
        # Equal values have no error, and of 462 divisions no other has none.
        (partial(permutation_test, [0.3] * 6, [0.1] * 5), 0.2, 1 / 462, (0.2, 0.2)),
        # A value alone adds no error: 3 lies as far from 0, 1, 2.
        (partial(permutation_test, [0], [1, 2, 3]), -2, 2 / 4, (-INF, INF)),
        (partial(permutation_test, [1], [0]), 1, 1, (-INF, INF)),
        (partial(permutation_test, [0.5, 0.5], [0.5] * 3), 0, 1, (-INF, INF)),
    ],
)
def test_worked_examples(tested: Callable[[], Estimate], value: float, p: float, interval: tuple[float, float]) -> None:
    test = tested()
    assert test.value == pytest.approx(value)
    assert (test.p, test.low, test.high) == (p, *interval)


def test_signs_of_darwins_maize() -> None:
    """Fisher's own example: 863 of 2^14 assignments exceed on each side, counting those that equal it: p = 0.0526."""
    eighths = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert sign_flip_test(eighths).p == 1726 / 2**15


def test_the_interval_of_tied_values_ends_at_0_not_near_it() -> None:
    test = sign_flip_test((np.array(EIGHT) / 10_000 - np.array(EIGHT_OTHERS) / 10_000).tolist())
    assert (test.p, test.low) == (14 / 256, 0)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize(
    ("tested", "samples"),
    [(sign_flip_test, [np.subtract(EIGHT, EIGHT_OTHERS)]), (permutation_test, [np.array(EIGHT), EIGHT_OTHERS[:6]])],
)
def test_the_unit_does_not_matter(tested: Callable[..., Estimate], samples: list[Sequence[int]], unit: float) -> None:
    test = tested(*((np.array(sample) * unit).tolist() for sample in samples))
    plain = tested(*(np.array(sample).tolist() for sample in samples))
    assert test.p == plain.p
    assert (test.low, test.high) == pytest.approx((plain.low * unit, plain.high * unit))


def exact_p_of_signs(first: Sequence[int], second: Sequence[int], margin: int) -> float:
    """In whole numbers, without rounding."""
    moved = [one - other - margin for one, other in zip(first, second, strict=True)]
    sums = [sum(map(int.__mul__, signs, moved)) for signs in product((1, -1), repeat=len(moved))]
    return sum(abs(one) >= abs(sum(moved)) for one in sums) / len(sums)


def exact_p_of_divisions(first: Sequence[int], second: Sequence[int], margin: int) -> float:
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


def signs_of(first: NDArray[np.int64], second: NDArray[np.int64], margin: float = 0.0) -> Estimate:
    return sign_flip_test(((first - second) / 10_000).tolist(), margin)


def divisions_of(first: NDArray[np.int64], second: NDArray[np.int64], margin: float = 0.0) -> Estimate:
    return permutation_test((first / 10_000).tolist(), (second / 10_000).tolist(), margin)


@pytest.mark.parametrize(
    ("test", "exact", "sizes"),
    [
        *((signs_of, exact_p_of_signs, (n, n)) for n in (6, 7, 9)),
        *((divisions_of, exact_p_of_divisions, sizes) for sizes in ((5, 5), (3, 6), (7, 4))),
    ],
)
def test_p_is_exact_and_the_interval_holds_the_margins_that_are_not_rejected(
    test: Callable[..., Estimate], exact: Callable[..., float], sizes: tuple[int, int]
) -> None:
    """Accuracies in 1/10,000, of which many differences are tied."""
    rng = np.random.default_rng(sum(sizes))
    for _ in range(4):
        first, second = rng.integers(9930, 9939, sizes[0]), rng.integers(9928, 9934, sizes[1])
        found = test(first, second)
        for margin in range(-8, 16):
            p = exact(first.tolist(), second.tolist(), margin)
            assert test(first, second, margin=margin / 10_000).p == p
            assert (found.low <= margin / 10_000 <= found.high) == (p >= 0.05)


def distance(first: NDArray[np.float64], second: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.asarray(np.abs(first.mean(axis=axis) - second.mean(axis=axis)))


def welch(first: NDArray[np.float64], second: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.asarray(np.abs(stats.ttest_ind(first, second, axis=axis, equal_var=False).statistic))


def test_p_of_signs_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        sample = rng.normal(0.5, 1, 9)
        expected = stats.permutation_test([sample], np.mean, permutation_type="samples")
        assert sign_flip_test(sample.tolist()).p == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(
    ("statistic", "sizes"),
    [
        *((welch, sizes) for sizes in ((5, 5), (3, 6), (7, 4), (2, 9))),
        pytest.param(distance, (5, 5), id="in samples of one size the difference itself would do"),
    ],
)
def test_p_of_divisions_is_scipys(statistic: Callable[..., NDArray[np.float64]], sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        samples = [rng.normal(0.5 - place, 1 + place, size) for place, size in enumerate(sizes)]
        expected = stats.permutation_test(samples, statistic, alternative="greater")
        assert permutation_test(*(sample.tolist() for sample in samples)).p == pytest.approx(expected.pvalue)


RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    "tested",
    [
        partial(sign_flip_test, RNG.normal(1, 1, 10).tolist()),
        partial(sign_flip_test, RNG.normal(1, 1, 30).tolist()),
        partial(permutation_test, RNG.normal(1, 1, 6).tolist(), RNG.normal(0, 1, 9).tolist()),
        partial(permutation_test, RNG.normal(1, 1, 9).tolist(), RNG.normal(0, 9, 3).tolist()),
        partial(permutation_test, RNG.normal(1, 1, 12).tolist(), RNG.normal(0, 1, 12).tolist()),
    ],
    ids=["all signs", "random signs", "all divisions", "few values that vary more", "random divisions"],
)
def test_the_interval_ends_where_rejection_begins(tested: Callable[..., Estimate]) -> None:
    test = tested()
    assert tested(margin=test.low).p >= 0.05 > tested(margin=test.low - 1e-9).p
    assert tested(margin=test.high).p >= 0.05 > tested(margin=test.high + 1e-9).p


def test_beyond_the_exact_sizes_random_permutations_agree_with_students_and_welchs_tests() -> None:
    rng = np.random.default_rng(1)
    pairs, first, second = rng.normal(0.3, 1, 40), rng.normal(1, 1, 20), rng.normal(0, 3, 30)
    for test, students in (
        (sign_flip_test(pairs.tolist()), stats.ttest_1samp(pairs, 0)),
        (permutation_test(first.tolist(), second.tolist()), stats.ttest_ind(first, second, equal_var=False)),
    ):
        assert test.p == pytest.approx(students.pvalue, abs=0.01)
        assert (test.low, test.high) == pytest.approx(tuple(students.confidence_interval()), abs=0.05)


@pytest.fixture
def few_divisions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """4,096 random ones, which are enough to see whether p is below 5 %."""
    monkeypatch.setattr(permutations, "EXACT_DIVISIONS", 0)
    monkeypatch.setattr(permutations, "RANDOM_PERMUTATIONS", permutations.BLOCK)
    permutations.divisions.cache_clear()
    yield
    permutations.divisions.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("few_divisions")
@pytest.mark.parametrize("tested", [permutation_test, superiority])
def test_if_the_smaller_sample_varies_more_what_is_true_is_seldom_rejected(tested: Callable[..., Estimate]) -> None:
    """The sizes and deviations of the study's runs at the notebook's setting; Pitman's test rejects 12 % of these."""
    rng = np.random.default_rng(0)
    samples = [(rng.normal(0, 0.17, 12).tolist(), rng.normal(0, 0.66, 8).tolist()) for _ in range(1000)]
    assert np.mean([tested(*both).p < 0.05 for both in samples]) <= 0.08


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 12, 30])
def test_least_p_paired_is_that_of_pairs_that_agree(n: int) -> None:
    assert statistics.least_p_paired(n) == sign_flip_test(list(range(1, n + 1))).p


@pytest.mark.parametrize("sizes", [(1, 1), (3, 3), (5, 5), (8, 10), (3, 2), (12, 12)])
def test_least_p_unpaired_is_that_of_samples_apart(sizes: tuple[int, int]) -> None:
    n, m = sizes
    apart = permutation_test([1000.0 + value for value in range(n)], [float(value) for value in range(m)])
    assert statistics.least_p_unpaired(n, m) == apart.p
    of_ranks = superiority([1000.0 + value for value in range(n)], [float(value) for value in range(m)])
    assert statistics.least_p_unpaired(n, m, ranks=True) == of_ranks.p


@pytest.mark.parametrize("values", [[0.01, 0.04, 0.03, 0.005], [0.6, 0.9], [0.0, 0.1, 0.1, 0.7, 0.3], [1.0]])
def test_holms_correction_is_statsmodels(values: list[float]) -> None:
    assert statistics.holm(values) == pytest.approx(multipletests(values, method="holm")[1])
    assert statistics.holm([]) == []


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 4), (1, 2), (6, 0), (7, 3), (25, 25), (110, 74)])
def test_mcnemars_test_is_statsmodels(only_first: int, only_second: int) -> None:
    expected = mcnemar([[9000, only_first], [only_second, 50]], exact=True).pvalue
    assert statistics.mcnemar_p(only_first, only_second) == pytest.approx(expected)


def test_networks_that_answer_alike_do_not_differ() -> None:
    assert statistics.mcnemar_p(0, 0) == 1


def answers(rng: np.random.Generator, accuracy: float, hard: NDArray[np.float64], seeds: int) -> NDArray[np.bool_]:
    """Right or wrong: whether a seed fails an image depends on chance, on the seed, and on the image."""
    luck = rng.normal(size=(seeds, len(hard))) + 0.1 * rng.normal(size=(seeds, 1)) + hard
    return np.asarray(luck < stats.norm.ppf(accuracy) * (2 + 0.1**2) ** 0.5)


def test_the_two_way_interval_is_that_of_a_loop() -> None:
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
    found = two_way_interval(first, second)
    assert found.value == pytest.approx(difference)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.012)
    assert two_way_interval(first, second) == found


@pytest.mark.parametrize(
    ("right", "interval"),
    [
        pytest.param(np.ones((1, 100), dtype=bool), (-INF, INF), id="one seed says nothing of others"),
        pytest.param(np.tile(np.arange(100) < 70, (4, 1)), (0, 0), id="images on which all agree do not count"),
    ],
)
def test_the_two_way_interval_of_a_network_with_itself(right: NDArray[np.bool_], interval: tuple[float, float]) -> None:
    found = two_way_interval(right, right)
    assert (found.value, found.low, found.high) == (0, *interval)


VALUES = [0.1, 0.3, 0.2]
OF_ONE_SAMPLE: list[Callable[[list[float]], object]] = [
    statistics.mean_interval,
    sign_flip_test,
    partial(permutation_test, VALUES),
    partial(permutation_test, second=VALUES),
    partial(superiority, VALUES),
    partial(superiority, second=VALUES),
]
ONES = np.ones((3, 4), dtype=bool)


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        *((partial(compute, []), "empty") for compute in OF_ONE_SAMPLE),
        # A run whose loss is nan once had p = 0: no assignment of signs is as far away as nan.
        *((partial(compute, [0.1, float("nan"), 0.2]), "nan") for compute in OF_ONE_SAMPLE),
        *((partial(compute, [0.1, INF, 0.2]), "infinite") for compute in OF_ONE_SAMPLE[:4]),
        *((partial(statistics.holm, [0.5, p]), "between 0 and 1") for p in (float("nan"), -0.1, 1.1)),
        *((partial(two_way_interval, ONES, ONES[:n, :m]), "cannot compare") for n, m in ((0, 4), (3, 0), (3, 2))),
        (partial(two_way_interval, ONES, ONES.astype(float)), "boolean"),
    ],
)
def test_values_without_a_meaning_are_refused(compute: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compute()

"""The sign-flip and the permutation test and their intervals: worked examples, scipy, brute force, simulation."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations, product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from convblocks.comparison import statistics
from convblocks.comparison.statistics import permutation_test, sign_flip_test
from convblocks.estimates import Estimate

# Two networks' accuracies with eight seeds, in 1/10,000, of which rounding once made 0.0469.
EIGHT = [9937, 9933, 9935, 9944, 9940, 9952, 9939, 9939]
EIGHT_OTHERS = [9922, 9928, 9934, 9914, 9941, 9927, 9941, 9935]

# BatchNorm minus MaxPool in points: eight pairs in which both trained, 1.90 +- 1.00, and two collapses.
TRAINED = 1.90 + 1.00 * stats.zscore(stats.norm.ppf((np.arange(8) + 0.5) / 8), ddof=1)
WITH_COLLAPSES = [*TRAINED, 87.15, 87.30]


def accuracies(rng: np.random.Generator, mean: float, deviation: float, n: int) -> NDArray[np.int64]:
    """How many of 10,000 images n runs get right."""
    return rng.normal(mean, deviation, n).round().astype(np.int64)


def exact_p_of_signs(differences: Sequence[int], margin: int) -> float:
    """In whole numbers, without rounding."""
    moved = [difference - margin for difference in differences]
    sums = [sum(map(int.__mul__, signs, moved)) for signs in product((1, -1), repeat=len(moved))]
    return sum(abs(one) >= abs(sum(moved)) for one in sums) / len(sums)


def exact_p_of_divisions(first: Sequence[int], second: Sequence[int], margin: int) -> float:
    """In whole numbers: n * m times the difference of means is (n + m) * the sum of the first - n * the sum of all."""
    values, n = [*(value - margin for value in first), *second], len(first)
    far = [abs(len(values) * sum(one) - n * sum(values)) for one in combinations(values, n)]
    return sum(one >= far[0] for one in far) / len(far)


def test_signs_of_a_worked_example() -> None:
    """All 8 assignments of signs to 1, 2, 3 have means +-6/3, +-4/3, +-2/3, 0, 0: two reach 2."""
    assert sign_flip_test([1, 2, 3]).p == 2 / 8
    assert sign_flip_test([1, 2, -3]).p == 1


def test_signs_of_darwins_maize() -> None:
    """Fisher's own example: 863 of 2^14 assignments exceed on each side, counting those that equal it: p = 0.0526."""
    eighths = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert sign_flip_test(eighths).p == 1726 / 2**15


def test_divisions_of_a_worked_example() -> None:
    """Of the 10 ways to take 2 of 1, 2, 3, 4, 9, one has a mean as far from the rest's as 4, 9 from 1, 2, 3."""
    test = permutation_test([4, 9], [1, 2, 3])
    assert (test.value, test.p, test.n) == (4.5, 1 / 10, 2)


def test_no_difference_at_all_has_p_1() -> None:
    assert sign_flip_test([0.0, 0.0, 0.0]).p == sign_flip_test([0.0, 0.0, 0.1]).p == 1
    assert permutation_test([0.5, 0.5], [0.5, 0.5, 0.5]).p == 1


def test_equal_pairs_have_an_interval_of_one_point() -> None:
    test = sign_flip_test([0.01] * 10)
    assert (test.low, test.value, test.high) == (0.01, 0.01, 0.01)


def test_one_collapse_among_nine_wins_is_not_significant() -> None:
    assert sign_flip_test([2.5] * 9 + [-83.0]).p == pytest.approx(1, abs=0.01)


def test_ties_that_rounding_hides_count() -> None:
    differences = np.array(EIGHT) / 10_000 - np.array(EIGHT_OTHERS) / 10_000
    assert sign_flip_test(differences.tolist()).p == exact_p_of_signs(np.subtract(EIGHT, EIGHT_OTHERS).tolist(), 0)
    assert round(sign_flip_test(differences.tolist()).p, 4) == 0.0547


def test_the_interval_of_tied_values_ends_at_0_not_near_it() -> None:
    differences = np.array(EIGHT) / 10_000 - np.array(EIGHT_OTHERS) / 10_000
    assert sign_flip_test(differences.tolist()).low == 0


@pytest.mark.parametrize("n", [8, 10])
def test_p_of_accuracies_is_that_of_whole_numbers(n: int) -> None:
    """Of such samples about a quarter have ties that float64 hides."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = accuracies(rng, 9939, 6, n), accuracies(rng, 9931, 9, n)
        p = sign_flip_test((first / 10_000 - second / 10_000).tolist()).p
        assert p == exact_p_of_signs((first - second).tolist(), 0)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_unit_does_not_matter(unit: float) -> None:
    differences = np.subtract(EIGHT, EIGHT_OTHERS)
    test, plain = sign_flip_test((differences * unit).tolist()), sign_flip_test(differences.tolist())
    assert test.p == plain.p
    assert (test.low, test.high) == pytest.approx((plain.low * unit, plain.high * unit))


def test_p_of_signs_is_scipys() -> None:
    for differences in np.random.default_rng(0).normal(0.5, 1, (20, 9)):
        expected = stats.permutation_test((differences,), np.mean, permutation_type="samples").pvalue
        assert sign_flip_test(differences.tolist()).p == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (7, 4)])
def test_p_of_divisions_is_scipys(sizes: tuple[int, int]) -> None:
    def distance(first: NDArray[np.float64], second: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray(np.abs(first.mean(axis=axis) - second.mean(axis=axis)))

    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = rng.normal(1, 1, sizes[0]), rng.normal(0, 1, sizes[1])
        expected = stats.permutation_test((first, second), distance, alternative="greater").pvalue
        assert permutation_test(first.tolist(), second.tolist()).p == pytest.approx(expected)


@pytest.mark.parametrize("n", [6, 7, 9])
def test_the_interval_holds_the_margins_that_signs_do_not_reject(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(4):
        differences = rng.integers(-3, 6, n)
        test = sign_flip_test((differences / 10_000).tolist())
        for margin in range(-5, 8):
            p = exact_p_of_signs(differences.tolist(), margin)
            assert sign_flip_test((differences / 10_000).tolist(), margin=margin / 10_000).p == p
            assert (test.low <= margin / 10_000 <= test.high) == (p >= 0.05)


@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (7, 4)])
def test_the_interval_holds_the_margins_that_divisions_do_not_reject(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    for _ in range(4):
        first, second = rng.integers(9930, 9939, sizes[0]), rng.integers(9928, 9934, sizes[1])
        samples = (first / 10_000).tolist(), (second / 10_000).tolist()
        test = permutation_test(*samples)
        for margin in range(-8, 16):
            p = exact_p_of_divisions(first.tolist(), second.tolist(), margin)
            assert permutation_test(*samples, margin=margin / 10_000).p == p
            assert (test.low <= margin / 10_000 <= test.high) == (p >= 0.05)


RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    "tested",
    [
        partial(sign_flip_test, RNG.normal(1, 1, 10).tolist()),
        partial(sign_flip_test, RNG.normal(1, 1, 30).tolist()),
        partial(permutation_test, RNG.normal(1, 1, 6).tolist(), RNG.normal(0, 1, 9).tolist()),
        partial(permutation_test, RNG.normal(1, 1, 12).tolist(), RNG.normal(0, 1, 12).tolist()),
    ],
    ids=["all signs", "random signs", "all divisions", "random divisions"],
)
def test_the_interval_ends_where_rejection_begins(tested: Callable[..., Estimate]) -> None:
    test = tested()
    assert tested(margin=test.low).p >= 0.05 > tested(margin=test.low - 1e-9).p
    assert tested(margin=test.high).p >= 0.05 > tested(margin=test.high + 1e-9).p


def test_the_interval_of_six_pairs_is_from_the_least_to_the_largest() -> None:
    test = sign_flip_test([3, 1, 4, 2, 6, 9])
    assert (test.low, test.high) == (1, 9)


def test_the_interval_is_infinite_where_nothing_can_be_rejected() -> None:
    for test in (sign_flip_test([1, 2, 3, 4, 5]), permutation_test([5, 6, 7], [1, 2, 3]), permutation_test([1], [0])):
        assert test.p > 0.05
        assert (test.low, test.high) == (-np.inf, np.inf)


def test_where_runs_collapse_the_interval_is_the_tests_not_students() -> None:
    """The page once had p = 0.002 beside [-6.79, +44.72]; the sign-flip test's is [+1.37, +44.8].

    The runs themselves are not kept: these have their number, means and deviations.
    """
    test, students = sign_flip_test(WITH_COLLAPSES), statistics.mean_interval(WITH_COLLAPSES)
    assert (students.low, students.high) == pytest.approx((-6.79, 44.72), abs=0.02)
    assert round(test.p, 4) == 0.0020
    assert round(statistics.holm([test.p] * 9)[0], 4) == 0.0176
    assert (test.low, test.high) == pytest.approx((1.37, 44.8), abs=0.06)


def test_many_pairs_are_tested_with_random_signs() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1, 40).tolist()
    students, test = stats.ttest_1samp(differences, 0), sign_flip_test(differences)
    assert test.p == pytest.approx(students.pvalue, abs=0.01)
    assert (test.low, test.high) == pytest.approx(tuple(students.confidence_interval()), abs=0.03)


def test_twelve_against_twelve_are_tested_with_random_divisions() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(1, 1, 12).tolist(), rng.normal(0, 1, 12).tolist()
    students, test = stats.ttest_ind(first, second), permutation_test(first, second)
    assert test.p == pytest.approx(students.pvalue, abs=0.01)
    assert (test.low, test.high) == pytest.approx(tuple(students.confidence_interval()), abs=0.05)


def test_much_better_takes_more_than_the_margin() -> None:
    """Ten pairs that differ by 0.9 to 1.8 points: above 0 for certain, but not above 1 point."""
    differences = [0.009, 0.010, 0.011, 0.012, 0.013, 0.008, 0.009, 0.010, 0.011, 0.018]
    assert sign_flip_test(differences).p == 2 / 2**10
    assert sign_flip_test(differences, margin=0.01).p > 0.05


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 12, 30])
def test_least_p_paired_is_that_of_pairs_that_agree(n: int) -> None:
    assert statistics.least_p_paired(n) == sign_flip_test(list(range(1, n + 1))).p


@pytest.mark.parametrize("sizes", [(1, 1), (3, 3), (5, 5), (8, 10), (3, 2), (12, 12)])
def test_least_p_unpaired_is_that_of_samples_apart(sizes: tuple[int, int]) -> None:
    n, m = sizes
    apart = permutation_test([1000.0 + value for value in range(n)], [float(value) for value in range(m)])
    assert statistics.least_p_unpaired(n, m) == apart.p


def test_three_pairs_decide_nothing_and_five_only_unpaired() -> None:
    assert statistics.least_p_paired(3) == 0.25
    assert statistics.least_p_paired(5) == 0.0625
    assert round(statistics.least_p_unpaired(5, 5), 3) == 0.008


def test_nine_comparisons_can_be_decided_with_eight_pairs_if_three_have_ten() -> None:
    """Holm's correction multiplies the three smallest p by 9, 8 and 7, and those of eight pairs by 6 at most."""

    def decided(*pairs: int) -> list[bool]:
        return [p < 0.05 for p in statistics.holm([statistics.least_p_paired(n) for n in pairs])]

    assert decided(*[10] * 3, *[8] * 6) == [True] * 9
    assert decided(*[8] * 9) == [False] * 9


@pytest.mark.parametrize("collapse_rate", [0.0, 0.1])
@pytest.mark.parametrize("step", [0.001, 1.0], ids=["no ties", "ties"])
def test_equal_networks_are_told_apart_in_at_most_5_percent(collapse_rate: float, step: float) -> None:
    rng = np.random.default_rng(0)
    runs = np.round(rng.normal(99.0, 1.0, (2000, 2, 8)) / step) * step
    runs[rng.random(runs.shape) < collapse_rate] = 11.35
    paired = [sign_flip_test((first - second).tolist()).p < 0.05 for first, second in runs]
    unpaired = [permutation_test(first[:5].tolist(), second[:5].tolist()).p < 0.05 for first, second in runs]
    assert np.mean(paired) <= 0.055
    assert np.mean(unpaired) <= 0.055


@pytest.mark.parametrize("sizes", [(5, 5), (8, 5)])
def test_the_interval_covers_the_difference_of_networks_that_collapse_as_often(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        first, second = (np.where(rng.random(n) < 0.1, 11.35, rng.normal(98, 1, n)) for n in sizes)
        test = permutation_test((first + 0.5).tolist(), second.tolist())
        covered += test.low <= 0.5 <= test.high
    assert 0.945 <= covered / 2000 <= 0.985  # not all shares of 5 % can be had


def test_signs_support_a_network_whose_mean_is_lower() -> None:
    """One that is better by 1.75 points, but in 5 % of the runs collapses, has a mean that is lower by 2.5 points."""
    rng = np.random.default_rng(0)
    supported = 0
    for _ in range(1000):
        other, better = rng.normal(94.87, 0.43, 10), rng.normal(96.62, 1.04, 10)
        better[rng.random(10) < 0.05] = 11.35
        test = sign_flip_test((better - other).tolist())
        supported += test.p < 0.05 and test.value > 0
    assert supported / 1000 == pytest.approx(0.57, abs=0.03)


def test_twelve_pairs_find_a_difference_of_015_points_with_power_097() -> None:
    samples = np.random.default_rng(0).normal(0.15, 0.12, (1000, 12))
    assert np.mean([sign_flip_test(sample.tolist()).p < 0.05 for sample in samples]) == pytest.approx(0.97, abs=0.015)


@pytest.mark.slow
def test_unpaired_runs_do_so_no_less_often() -> None:
    samples = np.random.default_rng(0).normal(0, 0.12 / 2**0.5, (150, 2, 12))
    found = [permutation_test((first + 0.15).tolist(), second.tolist()).p < 0.05 for first, second in samples]
    assert np.mean(found) >= 0.95

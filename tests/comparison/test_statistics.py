"""Means, proportions and corrections: worked examples, scipy, statsmodels and simulation."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from convblocks.comparison import statistics

# Eight values with mean 0 and standard deviation 1.
SPREAD = stats.zscore(stats.norm.ppf((np.arange(8) + 0.5) / 8), ddof=1)


def test_mean_interval_is_students() -> None:
    values = [4.1, 5.2, 3.9, 4.7, 5.0]
    interval = statistics.mean_interval(values)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert interval.deviation == pytest.approx(np.std(values, ddof=1))
    assert interval.n == 5


def test_one_value_has_no_interval() -> None:
    interval = statistics.mean_interval([0.97])
    assert interval.value == 0.97
    assert np.isnan([interval.deviation, interval.low, interval.high]).all()


@pytest.mark.parametrize("n", [5, 10])
def test_intervals_cover_the_mean_of_normal_data(n: int) -> None:
    rng = np.random.default_rng(0)
    intervals = [statistics.mean_interval(sample) for sample in rng.normal(1, 2, (4000, n)).tolist()]
    covered = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    assert 0.93 <= covered <= 0.97


def test_intervals_cover_less_on_skewed_data() -> None:
    """On exponential data, n = 5, the t interval covers about 88 %."""
    rng = np.random.default_rng(0)
    intervals = [statistics.mean_interval(sample) for sample in rng.exponential(1, (4000, 5)).tolist()]
    covered = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    assert 0.84 <= covered <= 0.93


def with_collapses(rate: float, samples: int) -> NDArray[np.float64]:
    """Accuracies of ten runs each, in per cent: of those that train 96.62 +- 1.04, of those that do not 11.35."""
    rng = np.random.default_rng(0)
    return np.where(rng.random((samples, 10)) < rate, 11.35, rng.normal(96.62, 1.04, (samples, 10)))


@pytest.mark.parametrize(("rate", "coverage"), [(0.05, 0.40), (0.10, 0.64), (0.20, 0.89)])
def test_with_collapses_the_t_interval_is_of_no_use(rate: float, coverage: float) -> None:
    mean = rate * 11.35 + (1 - rate) * 96.62
    intervals = [statistics.mean_interval(sample) for sample in with_collapses(rate, 4000).tolist()]
    covered = np.mean([interval.low <= mean <= interval.high for interval in intervals])
    assert covered == pytest.approx(coverage, abs=0.02)


@pytest.mark.parametrize(("rate", "coverage"), [(0.05, 0.38), (0.10, 0.63), (0.20, 0.86)])
def test_nor_is_the_bootstrap(rate: float, coverage: float) -> None:
    mean = rate * 11.35 + (1 - rate) * 96.62
    drawn = np.random.default_rng(1).integers(10, size=(500, 10))
    limits = [np.quantile(sample[drawn].mean(axis=1), [0.025, 0.975]) for sample in with_collapses(rate, 2000)]
    covered = np.mean([low <= mean <= high for low, high in limits])
    assert covered == pytest.approx(coverage, abs=0.03)


def test_with_collapses_the_t_interval_goes_above_100_percent() -> None:
    """[53.83, 105.28] once stood on the page; eight runs trained to 96.62 +- 1.04 and two did not."""
    interval = statistics.mean_interval([*(96.62 + 1.04 * SPREAD), 11.35, 11.35])
    assert (interval.low, interval.high) == pytest.approx((53.83, 105.28), abs=0.02)


def test_a_mean_just_above_a_goal_does_not_show_that_it_is_met() -> None:
    """99.46 +- 0.10 with n = 5 against 99.45: one-sided p 0.42."""
    runs = 99.46 + 0.10 * stats.zscore([1, 2, 3, 4, 5], ddof=1)
    mean = statistics.mean_interval(runs.tolist())
    assert (mean.at_least(99.45), mean.at_least(99.30)) == ("undecided", "met")
    assert stats.ttest_1samp(runs, 99.45, alternative="greater").pvalue == pytest.approx(0.42, abs=0.005)


def test_holm_of_a_worked_example() -> None:
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_is_statsmodels() -> None:
    for p_values in np.random.default_rng(0).random((5, 7)).round(1) ** 3:
        assert statistics.holm(p_values.tolist()) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_never_exceeds_one() -> None:
    assert statistics.holm([0.6, 0.9]) == [1, 1]


def test_no_p_values_need_no_correction() -> None:
    assert statistics.holm([]) == []


def test_mcnemar_of_a_worked_example() -> None:
    """Of 3 images that only one network gets right: 2 * (1 + 3) / 2^3 is 1; of 6, all its own: 2 / 2^6."""
    assert statistics.mcnemar_p(1, 2) == pytest.approx(1)
    assert statistics.mcnemar_p(6, 0) == pytest.approx(2 / 64)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 4), (7, 3), (25, 25), (110, 74)])
def test_mcnemar_is_statsmodels(only_first: int, only_second: int) -> None:
    expected = mcnemar([[9000, only_first], [only_second, 50]], exact=True).pvalue
    assert statistics.mcnemar_p(only_first, only_second) == pytest.approx(expected)


def test_networks_that_answer_alike_do_not_differ() -> None:
    assert statistics.mcnemar_p(0, 0) == 1


def answers(rng: np.random.Generator, accuracy: float, hard: NDArray[np.float64], seeds: int) -> NDArray[np.bool_]:
    """Right or wrong: what lets one seed fail an image is its own luck, the seed's, and the image."""
    luck = rng.normal(size=(seeds, len(hard))) + 0.1 * rng.normal(size=(seeds, 1)) + hard
    return np.asarray(luck < stats.norm.ppf(accuracy) * (2 + 0.1**2) ** 0.5)


def test_the_two_way_interval_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(size=60)
    first, second = answers(rng, 0.9, hard, 5), answers(rng, 0.7, hard, 3)
    difference = first.mean() - second.mean()
    drawn = []
    for _ in range(4000):
        images = [rng.integers(60) for _ in range(60)]
        by_image = first[:, images].mean() - second[:, images].mean() - difference
        by_seed = []
        for right in (first, second):
            seeds = [rng.integers(len(right)) for _ in range(len(right) - 1)]
            by_seed.append(np.mean([right[seed].mean() for seed in seeds]) - right.mean())
        drawn.append(difference + by_image + by_seed[0] - by_seed[1])
    found = statistics.two_way_interval(first, second)
    assert found.value == pytest.approx(difference)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.012)


def test_the_two_way_interval_is_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((3, 100)) < 0.9, rng.random((4, 100)) < 0.8
    assert statistics.two_way_interval(first, second) == statistics.two_way_interval(first, second)


def test_one_seed_says_nothing_of_others() -> None:
    right = np.ones((1, 100), dtype=bool)
    found = statistics.two_way_interval(right, right)
    assert (found.value, found.low, found.high) == (0, -np.inf, np.inf)


def test_images_on_which_all_agree_do_not_count() -> None:
    """Images that are hard for both networks differ from one draw to the next, but not the networks' difference."""
    right = np.tile(np.arange(100) < 70, (4, 1))
    found = statistics.two_way_interval(right, right)
    assert (found.value, found.low, found.high) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 12])
def test_the_two_way_interval_covers_the_difference(seeds: int) -> None:
    """Networks that are right in 95 and 90 % of all cases, on images and with seeds drawn anew each time."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        hard = rng.normal(size=300)
        found = statistics.two_way_interval(answers(rng, 0.95, hard, seeds), answers(rng, 0.9, hard, seeds))
        covered += found.low <= 0.05 <= found.high
    assert 0.94 <= covered / 1000 <= 0.99


VALUES = [0.1, 0.3, 0.2]
OF_ONE_SAMPLE: list[Callable[[list[float]], object]] = [
    statistics.mean_interval,
    statistics.sign_flip_test,
    partial(statistics.permutation_test, VALUES),
    partial(statistics.permutation_test, second=VALUES),
    partial(statistics.superiority, VALUES),
    partial(statistics.superiority, second=VALUES),
]


@pytest.mark.parametrize("compute", OF_ONE_SAMPLE)
def test_an_empty_sample_is_refused(compute: Callable[[list[float]], object]) -> None:
    with pytest.raises(ValueError, match="empty"):
        compute([])


@pytest.mark.parametrize("compute", OF_ONE_SAMPLE)
def test_a_value_that_is_nan_is_refused(compute: Callable[[list[float]], object]) -> None:
    """A run whose loss is nan once had p = 0: no assignment of signs is as far away as nan."""
    with pytest.raises(ValueError, match="nan"):
        compute([0.1, float("nan"), 0.2])


@pytest.mark.parametrize("compute", OF_ONE_SAMPLE[:4])
def test_an_infinite_value_has_no_mean(compute: Callable[[list[float]], object]) -> None:
    with pytest.raises(ValueError, match="infinite"):
        compute([0.1, float("inf"), 0.2])


@pytest.mark.parametrize("p", [float("nan"), -0.1, 1.1])
def test_what_is_no_p_value_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        statistics.holm([0.5, p])


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (3, 5)])
def test_answers_on_no_or_other_images_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot compare"):
        statistics.two_way_interval(np.ones((3, 4), dtype=bool), np.ones(shape, dtype=bool))


def test_answers_that_are_not_boolean_are_refused() -> None:
    right = np.ones((3, 4), dtype=bool)
    with pytest.raises(ValueError, match="boolean"):
        statistics.two_way_interval(right, right.astype(float))

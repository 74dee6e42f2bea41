"""Intervals and tests: arrays in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05

# With up to 16 pairs every assignment of signs is tried; with more, this many random ones are.
SIGN_ASSIGNMENTS = 2**16


@dataclass(frozen=True)
class Mean:
    """A mean with its standard deviation and its 95 % confidence interval; nan where n = 1, as all is where n = 0."""

    n: int
    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """How much larger one sample is than another, pair by pair.

    ``p`` is the two-sided p-value of the sign-flip test and ``p_adjusted`` the same after Holm's correction;
    ``improvement`` the probability that a random member of the first exceeds a random one of the second.
    """

    difference: Mean
    p: float
    p_adjusted: float
    improvement: float


def mean_interval(values: Sequence[float]) -> Mean:
    """Mean, standard deviation (n - 1 in the denominator) and Student's t interval; of no values, nan."""
    sample = np.asarray(values, dtype=float)
    n, mean = len(sample), float(sample.mean()) if len(sample) else float("nan")
    if n <= 1:
        return Mean(n, mean, float("nan"), float("nan"), float("nan"))
    deviation = float(sample.std(ddof=1))
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / n**0.5
    return Mean(n, mean, deviation, mean - margin, mean + margin)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Two-sided p-value of the mean against 0: how often signs given at random make it at least as far from 0.

    Assumes of the differences only that, were there no effect, each could as well have had the other sign. Exact up
    to 16 pairs (R. A. Fisher, "The Design of Experiments", 1935, section 21).
    """
    sample = np.asarray(differences, dtype=float)
    if len(sample) == 1 or not sample.any():
        return 1.0  # both signs are equally far from 0

    def absolute_mean(flipped: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray(np.abs(np.mean(flipped, axis=axis)))

    test = stats.permutation_test(
        (sample,),
        absolute_mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=SIGN_ASSIGNMENTS,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that all of them together err with the stated probability.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1)
    return [float(p) for p in adjusted]


def paired_differences(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> list[PairedDifference | None]:
    """Compare the two samples of every pair, and correct for the number of comparisons; None for empty samples."""
    differences = [np.asarray(first, dtype=float) - np.asarray(second, dtype=float) for first, second in pairs]
    tested = [index for index, difference in enumerate(differences) if len(difference)]
    p_values = [sign_flip_p(differences[index]) for index in tested]
    compared: list[PairedDifference | None] = [None] * len(pairs)
    for index, p, p_adjusted in zip(tested, p_values, holm(p_values), strict=True):
        first, second = pairs[index]
        improvement = probability_of_improvement(first, second)
        compared[index] = PairedDifference(mean_interval(differences[index]), p, p_adjusted, improvement)
    return compared


def probability_of_improvement(first: Sequence[float], second: Sequence[float]) -> float:
    """Probability that a random member of the first sample exceeds one of the second; ties count half.

    R. Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", 2021, section 4.3.
    """
    statistic = stats.mannwhitneyu(first, second).statistic
    return float(statistic) / (len(first) * len(second))


def sufficient_n(comparisons: int) -> int:
    """The smallest number of pairs with which that many comparisons can all be decided.

    With fewer, even if all pairs agree, the sign-flip test's smallest p-value, 2 in 2^n, is not significant after
    Holm's correction.
    """
    n = 1
    while comparisons * 2.0 ** (1 - n) >= SIGNIFICANCE:
        n += 1
    return n


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % confidence interval of a proportion (E. B. Wilson, JASA 22, 1927)."""
    interval = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def binomial_standard_error(proportion: float, trials: int) -> float:
    """Standard error of a proportion that was measured on that many independent trials."""
    return float((proportion * (1 - proportion) / trials) ** 0.5)

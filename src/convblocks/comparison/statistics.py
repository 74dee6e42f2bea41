"""Intervals and tests: arrays in, numbers out. All refuse samples that are empty or hold a nan, by a ValueError."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb, floor, inf, log10, nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convblocks.comparison.permutations import (
    EXACT_DIVISIONS,
    EXACT_PAIRS,
    RANDOM_ASSIGNMENTS,
    division_weights,
    sign_weights,
)

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05

BOOTSTRAP_RESAMPLES = 2000

# Numbers that differ by less than this share of the largest are tied: float64 rounds the differences of accuracies.
TOLERANCE = 1e-12

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """A mean with its standard deviation and its 95 % confidence interval, both nan where n = 1."""

    n: int
    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True)
class Test:
    """A difference of means, the two-sided p of its test, and the differences that the test does not reject at 5 %.

    The interval is infinite where n is too small to reject any. ``n`` is the number of pairs, or of values in the
    smaller sample.
    """

    difference: float
    p: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Superiority:
    """The probability that a value of the first sample exceeds one of the second; ties count half.

    ``low`` and ``high`` bound its 95 % confidence interval; ``p`` is that of the hypothesis that both samples come from
    one distribution, and ``n`` the number of values in the smaller sample.
    """

    probability: float
    low: float
    high: float
    p: float
    n: int


class Difference(NamedTuple):
    """A difference with its 95 % confidence interval."""

    difference: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Mean:
    """Mean, standard deviation (n - 1 in the denominator) and Student's t interval.

    The interval is of use for values that are roughly normal: where some runs collapse, it is not.
    """
    sample = _sample(values)
    n, mean = len(sample), float(sample.mean())
    if n == 1:
        return Mean(n, mean, nan, nan, nan)
    deviation = float(sample.std(ddof=1))
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / n**0.5
    return Mean(n, mean, deviation, mean - margin, mean + margin)


def sign_flip_test(differences: Sequence[float], margin: float = 0.0) -> Test:
    """Test the mean of paired differences against ``margin``: how often do random signs take it as far away?

    Assumes that a difference is as likely to lie above its mean as below, by the same amount. Exact up to 16 pairs
    (R. A. Fisher, "The Design of Experiments", 1935, section 21). The limits of the interval are means of some of the
    differences (J. A. Hartigan, "Using subsample values as typical values", JASA 64, 1969).
    """
    sample = _sample(differences)
    return _test(sign_weights(len(sample)), sample, np.ones(len(sample)), margin, len(sample))


def permutation_test(first: Sequence[float], second: Sequence[float], margin: float = 0.0) -> Test:
    """Test the difference of two means against ``margin``: how often does a random division take it as far away?

    Assumes that the distributions differ in their location only. Exact up to 200,000 divisions of the values into two
    samples of these sizes (E. J. G. Pitman, "Significance tests which may be applied to samples from any populations",
    Supplement to the Journal of the Royal Statistical Society 4, 1937).
    """
    one, other = _sample(first), _sample(second)
    shifted = np.repeat([1.0, 0.0], [len(one), len(other)])
    weights = division_weights(len(one), len(other))
    return _test(weights, np.concatenate([one, other]), shifted, margin, min(len(one), len(other)))


def superiority(first: Sequence[float], second: Sequence[float]) -> Superiority:
    """How probable it is that a value of ``first`` exceeds one of ``second``. An infinite value is the best or worst.

    The p is that of a permutation test of the ranks: of equal distributions, not of a probability of 1/2, so it may be
    small where the interval holds 1/2.
    """
    probability, low, high = superiority_interval(first, second)
    ranks = stats.rankdata([*first, *second]).tolist()
    test = permutation_test(ranks[: len(first)], ranks[len(first) :])
    return Superiority(probability, low, high, test.p, test.n)


def superiority_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """The probability that a value of ``first`` exceeds one of ``second``, and its 95 % confidence interval.

    The variance of the estimate P is at most P (1 - P) / n, n being the smaller sample's size (Z. W. Birnbaum and O. M.
    Klose, Annals of Mathematical Statistics 28, 1957). Like S. Schüürhuis et al. (Biometrical Journal 67, 2025) we
    estimate which share of this bound it is (from the variance of E. R. DeLong et al., Biometrics 44, 1988); the
    interval is Wilson's for n / share trials. So it stays within 0 and 1, and is that of the rate of collapses where
    they alone decide. From few values the share comes out too small, and with P at 0 or 1 not at all, so it is drawn
    towards 1 as if by two more values: our choice, by simulation (test_superiority.py).
    """
    one, other = _sample(first, infinite=True), _sample(second, infinite=True)
    wins = np.greater.outer(one, other) + np.equal.outer(one, other) / 2
    probability = float(wins.mean())
    return probability, *_wilson(probability, min(wins.shape) / _variance_share(wins))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that all of them together err with the stated probability.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    values = np.asarray(p_values, dtype=float)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a p-value lies between 0 and 1")
    order = np.argsort(values)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1)
    return [float(p) for p in adjusted]


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % confidence interval of a proportion (E. B. Wilson, JASA 22, 1927)."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is no proportion")
    return _wilson(successes / trials, trials)


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's exact test, from how many images only the one or only the other network got right."""
    if only_first == only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def two_way_interval(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Difference:
    """The difference of two networks' accuracies, as it would be with other seeds and on other images.

    Both arrays, of shape (seeds, images), say which answers are right; the images are the same, the seeds need not be.
    A bootstrap of 2,000 resamples draws seeds and images apart and adds both deviations: drawn at once they would count
    a seed's luck with an image three times, not once (A. B. Owen, "The pigeonhole bootstrap", Annals of Applied
    Statistics 1, 2007); so it counts twice, and the interval is a little too wide. Of n seeds n - 1 are drawn, else
    their variance would be too small by (n - 1) / n. Infinite where a network has one seed only.
    """
    if first.dtype != np.bool_ or second.dtype != np.bool_ or first.ndim != 2 or second.ndim != 2:
        raise ValueError("answers come as boolean arrays of shape (seeds, images)")
    if not first.size or not second.size or first.shape[1] != second.shape[1]:
        raise ValueError(f"cannot compare answers of shapes {first.shape} and {second.shape}")
    by_image = first.mean(axis=0) - second.mean(axis=0)
    difference = float(by_image.mean())
    if min(len(first), len(second)) == 1:
        return Difference(difference, -inf, inf)
    rng = np.random.default_rng(0)
    values, counts = np.unique(by_image, return_counts=True)
    drawn = rng.multinomial(counts.sum(), counts / counts.sum(), size=BOOTSTRAP_RESAMPLES) @ values / counts.sum()
    drawn += _deviations_by_seed(first, rng) - _deviations_by_seed(second, rng)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Difference(difference, float(low), float(high))


def least_p_paired(n: int) -> float:
    """The smallest p that the sign-flip test of n pairs can have."""
    return 2 / 2**n if n <= EXACT_PAIRS else 1 / RANDOM_ASSIGNMENTS


def least_p_unpaired(n: int, m: int) -> float:
    """The smallest p that the permutation test of n and m values can have."""
    divisions = comb(n + m, n)
    if divisions > EXACT_DIVISIONS:
        return 1 / RANDOM_ASSIGNMENTS
    return (2 if n == m else 1) / divisions  # of samples of one size, the exchanged ones differ by as much


def _sample(values: Sequence[float], *, infinite: bool = False) -> Numbers:
    sample = np.asarray(values, dtype=float)
    if not sample.size:
        raise ValueError("the sample is empty")
    if np.isnan(sample).any() or (np.isinf(sample).any() and not infinite):
        raise ValueError("the sample has a value that is nan or infinite")
    return sample


def _test(weights: Numbers, values: Numbers, shifted: Numbers, margin: float, n: int) -> Test:
    """The test whose statistic, for each assignment, is that row of ``weights`` times ``values - margin * shifted``.

    The statistic of an assignment is a - b * margin with |b| <= 1, the observed one d - margin. The first is at least
    as far from 0 for the margins between (d - a) / (1 - b) and (d + a) / (1 + b), and for all if |b| = 1. So p at a
    margin is the share of the ranges that hold it. All hold d, so the share falls on either side of d, and the margins
    with p >= 0.05 are an interval that ends where ranges do.
    """
    scale = float(np.abs(values).max()) or 1.0
    resampled, slope = weights @ (values / scale), weights @ shifted
    difference = resampled[0]
    bounded = np.abs(slope) < 1 - TOLERANCE
    resampled, slope = resampled[bounded], slope[bounded]
    limits = np.stack([(difference - resampled) / (1 - slope), (difference + resampled) / (1 + slope)])
    limits.sort(axis=0)
    unbounded = np.full(len(weights) - len(slope), inf)
    lows = np.sort(np.concatenate([-unbounded, limits[0]]))
    highs = np.sort(np.concatenate([limits[1], unbounded]))
    tested = margin / scale
    holding = len(weights) - np.sum(lows > tested + TOLERANCE) - np.sum(highs < tested - TOLERANCE)
    least = ceil(SIGNIFICANCE * len(weights) - TOLERANCE)  # so many of the ranges make p >= 0.05
    return Test(
        difference=_without_rounding_error(difference, scale),
        p=float(holding / len(weights)),
        low=_without_rounding_error(lows[least - 1], scale),
        high=_without_rounding_error(highs[-least], scale),
        n=n,
    )


def _without_rounding_error(value: float, scale: float) -> float:
    """``value * scale`` in as many decimals as float64 has right for numbers of this scale: 0.1 for 0.3 - 0.2."""
    return round(float(value) * scale, 12 - floor(log10(scale))) + 0.0  # no -0.0


def _wilson(proportion: float, trials: float) -> tuple[float, float]:
    """Wilson's interval; the number of trials need not be whole."""
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    centre = proportion + z**2 / (2 * trials)
    margin = z * (proportion * (1 - proportion) / trials + (z / (2 * trials)) ** 2) ** 0.5
    return max(0.0, (centre - margin) / (1 + z**2 / trials)), min(1.0, (centre + margin) / (1 + z**2 / trials))


def _variance_share(wins: Numbers) -> float:
    """The variance of the mean of ``wins``, of shape (n, m), as a share of the largest possible; drawn towards 1."""
    n, probability = min(wins.shape), wins.mean()
    bound = probability * (1 - probability) / n
    if n == 1 or bound == 0:
        return 1.0
    variance = sum(wins.mean(axis=1 - axis).var(ddof=1) / wins.shape[axis] for axis in (0, 1))
    return float((n * min(variance / bound, 1.0) + 2) / (n + 2))


def _deviations_by_seed(right: NDArray[np.bool_], rng: np.random.Generator) -> Numbers:
    """How far the mean accuracy of seeds drawn anew is from that of all seeds, of shape (resamples)."""
    accuracies = right.mean(axis=1)
    drawn = rng.integers(len(accuracies), size=(BOOTSTRAP_RESAMPLES, len(accuracies) - 1))
    return np.asarray(accuracies[drawn].mean(axis=1) - accuracies.mean())

"""Intervals and tests. All raise ValueError for samples that are empty or contain nan."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, combinations
from math import ceil, comb, floor, inf, log10

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convblocks.estimates import CONFIDENCE, POINTS, RATIO, SHARE, Estimate, Unit, wilson

SIGNIFICANCE = 0.05

BOOTSTRAP_RESAMPLES = 2000

# Numbers that differ by less than this share of the largest are tied: float64 rounds the differences of accuracies.
TOLERANCE = 1e-12

# Beyond these numbers of pairs or divisions, random ones are drawn.
EXACT_PAIRS = 16
EXACT_DIVISIONS = 200_000
RANDOM_PERMUTATIONS = 2**16

# Permutations that are drawn or weighted at a time: the memory of a large comparison stays small.
BLOCK = 4096

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


def mean_interval(values: Sequence[float], unit: Unit = RATIO) -> Estimate:
    """Mean, standard deviation (n - 1 in the denominator) and Student's t interval, which n = 1 does not have.

    The interval assumes roughly normal values: it means little where some runs collapse.
    """
    sample = _sample(values)
    n, mean = len(sample), float(sample.mean())
    if n == 1:
        return Estimate(mean, n=1, unit=unit)
    deviation = float(sample.std(ddof=1))
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / n**0.5
    return Estimate(mean, mean - margin, mean + margin, n, unit=unit, deviation=deviation)


def sign_flip_test(differences: Sequence[float], margin: float = 0.0) -> Estimate:
    """Test the mean of paired differences of accuracies against ``margin``: how often are random signs as extreme?

    The interval holds the means that the test does not reject at 5 %; it is infinite if n is too small to reject any.
    Assumes that a difference is as likely to lie above its mean as below, by the same amount. Exact up to 16 pairs
    (R. A. Fisher, "The Design of Experiments", 1935, section 21). The limits of the interval are means of some of the
    differences (J. A. Hartigan, "Using subsample values as typical values", JASA 64, 1969).
    """
    sample = _sample(differences)
    scale, n = _scale(sample), len(sample)
    resampled, slope = weigh(flips(n), -1 / n, 1 / n, np.stack([sample / scale, np.ones(n)]))
    return _test(resampled, slope, scale, margin, n, POINTS)


def permutation_test(
    first: Sequence[float], second: Sequence[float], margin: float = 0.0, unit: Unit = POINTS
) -> Estimate:
    """Test the difference of two means against ``margin``: how often is a random division as extreme?

    The interval holds the differences that the test does not reject at 5 %; it is infinite if n is too small to reject
    any. Assumes that the distributions differ in location only. Exact up to 200,000 divisions of the values into two
    samples of these sizes (E. J. G. Pitman, "Significance tests which may be applied to samples from any populations",
    Supplement to the Journal of the Royal Statistical Society 4, 1937).
    """
    one, other = _sample(first), _sample(second)
    n, m, values = len(one), len(other), np.concatenate([one, other])
    scale = _scale(values)
    shifted = np.repeat([1.0, 0.0], [n, m])
    resampled, slope = weigh(divisions(n, m), 1 / n, -1 / m, np.stack([values / scale, shifted]))
    return _test(resampled, slope, scale, margin, min(n, m), unit)


def superiority(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The probability that a value of ``first`` exceeds one of ``second``; ties count half, values may be infinite.

    The p is that of a permutation test of the ranks. It tests for equal distributions, not for a probability of 1/2,
    and may be small although the interval holds 1/2.
    """
    probability, low, high = superiority_interval(first, second)
    ranks = stats.rankdata([*first, *second]).tolist()
    test = permutation_test(ranks[: len(first)], ranks[len(first) :])
    return Estimate(probability, low, high, test.n, test.p, SHARE)


def superiority_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """The probability that a value of ``first`` exceeds one of ``second``, and its 95 % confidence interval.

    The variance of the estimate P is at most P (1 - P) / n, n being the smaller sample's size (Z. W. Birnbaum and O. M.
    Klose, Annals of Mathematical Statistics 28, 1957). Like S. Schüürhuis et al. (Biometrical Journal 67, 2025) we
    estimate which share of this bound it is (from the variance of E. R. DeLong et al., Biometrics 44, 1988); the
    interval is Wilson's for n / share trials. So it stays within 0 and 1, and equals that of the rate of collapses if
    these alone decide. From few values the share is underestimated, and with P at 0 or 1 undefined, so it is shrunk
    towards 1 as if by two more values: our choice, by simulation (test_superiority.py).
    """
    one, other = _sample(first, infinite=True), _sample(second, infinite=True)
    wins = np.greater.outer(one, other) + np.equal.outer(one, other) / 2
    probability = float(wins.mean())
    return probability, *wilson(probability, min(wins.shape) / _variance_share(wins))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the stated probability of an error holds for all of them together.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    values = np.asarray(p_values, dtype=float)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a p-value lies between 0 and 1")
    order = np.argsort(values)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1)
    return [float(p) for p in adjusted]


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's exact test, from the numbers of images that only one of two networks got right."""
    if only_first == only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def two_way_interval(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Estimate:
    """The difference of two networks' accuracies, with an interval for other seeds and other images.

    Both arrays, of shape (seeds, images), mark the right answers; the images are the same, the seeds need not be. A
    bootstrap of 2,000 resamples draws seeds and images separately and adds the deviations: drawn together they would
    count the interaction of seed and image three times instead of once (A. B. Owen, "The pigeonhole bootstrap", Annals
    of Applied Statistics 1, 2007). Here it counts twice, so the interval is slightly too wide. Of n seeds n - 1 are
    drawn, or their variance would be too small by (n - 1) / n. Infinite if a network has one seed only.
    """
    if first.dtype != np.bool_ or second.dtype != np.bool_ or first.ndim != 2 or second.ndim != 2:
        raise ValueError("answers come as boolean arrays of shape (seeds, images)")
    if not first.size or not second.size or first.shape[1] != second.shape[1]:
        raise ValueError(f"cannot compare answers of shapes {first.shape} and {second.shape}")
    by_image = first.mean(axis=0) - second.mean(axis=0)
    difference = float(by_image.mean())
    if min(len(first), len(second)) == 1:
        return Estimate(difference, -inf, inf, unit=POINTS)
    rng = np.random.default_rng(0)
    values, counts = np.unique(by_image, return_counts=True)
    drawn = rng.multinomial(counts.sum(), counts / counts.sum(), size=BOOTSTRAP_RESAMPLES) @ values / counts.sum()
    drawn += _deviations_by_seed(first, rng) - _deviations_by_seed(second, rng)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(difference, float(low), float(high), min(len(first), len(second)), unit=POINTS)


def least_p_paired(n: int) -> float:
    """The smallest p that the sign-flip test of n pairs can have."""
    return 2 / 2**n if n <= EXACT_PAIRS else 1 / RANDOM_PERMUTATIONS


def least_p_unpaired(n: int, m: int) -> float:
    """The smallest p that the permutation test of n and m values can have."""
    divisions = comb(n + m, n)
    if divisions > EXACT_DIVISIONS:
        return 1 / RANDOM_PERMUTATIONS
    return (2 if n == m else 1) / divisions  # of samples of one size, the exchanged ones differ by as much


def _sample(values: Sequence[float], *, infinite: bool = False) -> Numbers:
    sample = np.asarray(values, dtype=float)
    if not sample.size:
        raise ValueError("the sample is empty")
    if np.isnan(sample).any() or (np.isinf(sample).any() and not infinite):
        raise ValueError("the sample has a value that is nan or infinite")
    return sample


def _scale(values: Numbers) -> float:
    return float(np.abs(values).max()) or 1.0


def _test(resampled: Numbers, slope: Numbers, scale: float, margin: float, n: int, unit: Unit) -> Estimate:
    """The test whose statistic, for each permutation, is ``resampled - slope * margin``, in units of ``scale``.

    The statistic of a permutation is a - b * margin with |b| <= 1, the observed one d - margin. The first is at least
    as far from 0 for the margins between (d - a) / (1 - b) and (d + a) / (1 + b), and for all if |b| = 1. So p at a
    margin is the share of the ranges that hold it. All hold d, so the share falls on either side of d, and the margins
    with p >= 0.05 are an interval that ends where ranges do.
    """
    count = len(resampled)
    difference = resampled[0]
    bounded = np.abs(slope) < 1 - TOLERANCE
    resampled, slope = resampled[bounded], slope[bounded]
    limits = np.stack([(difference - resampled) / (1 - slope), (difference + resampled) / (1 + slope)])
    limits.sort(axis=0)
    unbounded = np.full(count - len(slope), inf)
    lows = np.sort(np.concatenate([-unbounded, limits[0]]))
    highs = np.sort(np.concatenate([limits[1], unbounded]))
    tested = margin / scale
    holding = count - np.sum(lows > tested + TOLERANCE) - np.sum(highs < tested - TOLERANCE)
    least = ceil(SIGNIFICANCE * count - TOLERANCE)  # this many of the ranges give p >= 0.05
    value, low, high = (_without_rounding_error(one, scale) for one in (difference, lows[least - 1], highs[-least]))
    return Estimate(value, low, high, n, p=float(holding / count), unit=unit)


def _without_rounding_error(value: float, scale: float) -> float:
    """``value * scale`` in the decimals that float64 gets right at this scale: 0.1 for 0.3 - 0.2."""
    return round(float(value) * scale, 12 - floor(log10(scale))) + 0.0  # no -0.0


def _variance_share(wins: Numbers) -> float:
    """The variance of the mean of ``wins``, of shape (n, m), as a share of the largest possible; shrunk towards 1."""
    n, probability = min(wins.shape), wins.mean()
    bound = probability * (1 - probability) / n
    if n == 1 or bound == 0:
        return 1.0
    variance = sum(wins.mean(axis=1 - axis).var(ddof=1) / wins.shape[axis] for axis in (0, 1))
    return float((n * min(variance / bound, 1.0) + 2) / (n + 2))


def _deviations_by_seed(right: NDArray[np.bool_], rng: np.random.Generator) -> Numbers:
    """The deviation of the mean accuracy of resampled seeds from that of all seeds, of shape (resamples)."""
    accuracies = right.mean(axis=1)
    drawn = rng.integers(len(accuracies), size=(BOOTSTRAP_RESAMPLES, len(accuracies) - 1))
    return np.asarray(accuracies[drawn].mean(axis=1) - accuracies.mean())


@lru_cache(maxsize=4)
def flips(n: int) -> Mask:
    """Which of n differences change their sign, of shape (permutations, n); in the first none does."""
    if n <= EXACT_PAIRS:
        return np.asarray(np.arange(2**n)[:, np.newaxis] >> np.arange(n) & 1, dtype=bool)
    flipped = np.random.default_rng(0).integers(2, size=(RANDOM_PERMUTATIONS, n)).astype(bool)
    flipped[0] = False
    return flipped


@lru_cache(maxsize=4)
def divisions(n: int, m: int) -> Mask:
    """Which of n + m values belong to the first sample, of shape (divisions, n + m); in the first row the first n."""
    count = comb(n + m, n)
    if count <= EXACT_DIVISIONS:
        chosen = np.fromiter(chain.from_iterable(combinations(range(n + m), n)), dtype=int, count=count * n)
        return _mask(chosen.reshape(count, n), n + m)
    rng = np.random.default_rng(0)
    places = np.tile(np.arange(n + m), (BLOCK, 1))
    drawn = [_mask(rng.permuted(places, axis=1)[:, :n], n + m) for _ in range(RANDOM_PERMUTATIONS // BLOCK)]
    drawn[0][0] = np.arange(n + m) < n
    return np.concatenate(drawn)


def weigh(mask: Mask, inside: float, outside: float, values: Numbers) -> Numbers:
    """The sum of values (k, n), weighted by the one or the other, for each row of a mask: (k, permutations)."""
    blocks = range(0, len(mask), BLOCK)
    return np.concatenate(
        [values @ np.where(mask[start : start + BLOCK], inside, outside).T for start in blocks], axis=1
    )


def _mask(members: NDArray[np.int_], size: int) -> Mask:
    mask = np.zeros((len(members), size), dtype=bool)
    np.put_along_axis(mask, members, True, axis=1)
    return mask

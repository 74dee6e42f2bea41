"""Intervals and tests, which raise ValueError for samples that are empty or contain nan.

The permutation tests are not scipy's. Its ``ttest_ind`` misses ties, since float64
rounds equal differences apart: of 40 pairs of samples of five accuracies, 12 had
another p than the exact one. It also refuses a sample of one value, and takes 10 to 25
times as long, as does its ``permutation_test`` of Brunner and Munzel's statistic.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convblocks.figures.estimates import CONFIDENCE, RATIO, SHARE, Estimate, Unit, wilson

SIGNIFICANCE = 0.05

# Numbers that differ by less than this share of the largest are tied: float64 rounds
# the differences of accuracies.
TOLERANCE = 1e-12

# Beyond this number of divisions of values into two samples, random ones are drawn.
EXACT_DIVISIONS = 200_000
RANDOM_DIVISIONS = 2**16

# With more values than this in both samples, p comes from the test without permutations, which
# hardly differs.
MANY = 50

# The number of divisions that are drawn or summed at a time, so that the memory of a large
# comparison stays small.
BLOCK = 4096

Places = NDArray[np.int32]
Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]


def mean_interval(values: Sequence[float], unit: Unit = RATIO) -> Estimate:
    """Mean, standard deviation (n - 1 in the denominator) and Student's t interval,
    which n = 1 does not have.

    The interval assumes roughly normal values: it means little where some runs
    collapse. It ends where the unit does: an accuracy above 100 %, or a negative loss,
    is no possible mean.
    """
    sample = sample_of(values)
    n = len(sample)
    mean = float(sample.mean())
    if n == 1:
        return Estimate(mean, n=1, unit=unit)
    deviation = float(sample.std(ddof=1))
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))
    margin = quantile * deviation / n**0.5
    low = max(mean - margin, unit.least)
    high = min(mean + margin, unit.most)
    return Estimate(mean, low, high, n, unit=unit, deviation=deviation)


def superiority(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The probability that a value of ``first`` exceeds one of ``second``; ties count
    half, values may be infinite.

    The p is that of the studentized permutation test for a probability of 1/2: how
    often is a random division as extreme in the statistic of E. Brunner and U. Munzel
    (Biometrical Journal 42, 2000)? Exact, up to 200,000 divisions, if the distributions
    are equal; valid asymptotically if they are not (K. Neubert and E. Brunner, "A
    studentized permutation test for the non-parametric Behrens-Fisher problem",
    Computational Statistics & Data Analysis 51, 2007).

    The variance of the estimate P is at most P (1 - P) / n, n being the smaller
    sample's size (Z. W. Birnbaum and O. M. Klose, Annals of Mathematical Statistics 28,
    1957). Like S. Schüürhuis et al. (Biometrical Journal 67, 2025) we estimate which
    share of this bound it is (from the variance of E. R. DeLong et al., Biometrics 44,
    1988); the interval is Wilson's for n / share trials. So it stays within 0 and 1,
    and equals that of the rate of collapses if these alone decide. From few values the
    share is underestimated, and with P at 0 or 1 undefined, so it is shrunk towards 1
    as if by two more values: our choice, by simulation.
    """
    if len(first) > len(second):
        return superiority(second, first).complement()
    values = np.concatenate([sample_of(sample, infinite=True) for sample in (first, second)])
    n, m = len(first), len(second)
    observed = np.arange(n, dtype=np.int32)[np.newaxis]
    effect, variance = _effects(values, observed)[:, 0].tolist()
    probability = 0.5 + effect / (2 * n * m)
    variance /= (2 * n * m) ** 2 * max(n - 1, 1) * max(m - 1, 1)
    p = _p_of_ranks(values, n, probability - 0.5, variance**0.5)
    share = 1.0
    if n > 1 and 0 < probability < 1:
        observed_share = min(n * variance / (probability * (1 - probability)), 1.0)
        share = (n * observed_share + 2) / (n + 2)
    return Estimate(probability, *wilson(probability, n / share), n, p, SHARE)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the stated probability of an error holds for all of them
    together.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6, 1979.
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    adjusted = np.maximum.accumulate(values[order] * factors)
    return [min(float(p), 1.0) for p in adjusted[np.argsort(order)]]


def holm_levels(p_values: Sequence[float]) -> list[float]:
    """The level at which Holm's procedure tests each of them, or at which it stopped: 5 %
    over the number of those that are as large.

    An interval at this level leaves 0 out if and only if the adjusted p is below 5 %.
    It holds for its own difference; those that hold together and agree with Holm's
    procedure say little more than the sign (K. Strassburger and F. Bretz, Statistics in
    Medicine 27, 2008).
    """
    tested = zip(p_values, holm(p_values), strict=True)
    stop = min((p for p, adjusted in tested if adjusted >= SIGNIFICANCE), default=1.0)
    return [SIGNIFICANCE / sum(other >= min(p, stop) for other in p_values) for p in p_values]


def least_p_unpaired(n: int, m: int) -> float:
    """The smallest p that the permutation test of n and m values can have."""
    if min(n, m) > MANY:
        return 0.0
    if (total := comb(n + m, n)) > EXACT_DIVISIONS:
        return 1 / RANDOM_DIVISIONS
    # Samples of one size differ by as much when they are exchanged.
    return (2 if n == m else 1) / total


def sample_of(values: Sequence[float], *, infinite: bool = False) -> Numbers:
    """The values as an array, which may be infinite only if the flag is set; a
    ValueError if they are no sample.
    """
    sample = np.asarray(values, dtype=float)
    if not sample.size:
        raise ValueError("the sample is empty")
    if np.isnan(sample).any() or (np.isinf(sample).any() and not infinite):
        raise ValueError("the sample has a value that is nan or infinite")
    return sample


def of_divisions(n: int, m: int, numbers_of: Callable[[Places], Numbers]) -> Numbers:
    """Some numbers of every division of n + m values, of shape (numbers, divisions); those
    of the observed one come first.

    Args:
        n: The size of the first sample.
        m: The size of the second sample.
        numbers_of: Computes them for the divisions that it is given, in rows of n places.
    """
    chosen = divisions(n, m)
    blocks = [numbers_of(chosen[start : start + BLOCK]) for start in range(0, len(chosen), BLOCK)]
    return np.concatenate(blocks, axis=1)


@lru_cache(maxsize=4)
def divisions(n: int, m: int) -> Places:
    """The places of the first sample among n + m values, for each division: (divisions, n)
    int32. The first row has the first n places.
    """
    if comb(n + m, n) <= EXACT_DIVISIONS:
        return np.fromiter(combinations(range(n + m), n), np.dtype((np.int32, (n,))))
    rng = np.random.default_rng(0)
    if m <= MANY:
        rows = np.tile(np.arange(n + m, dtype=np.int32), (RANDOM_DIVISIONS, 1))
        chosen = rng.permuted(rows, axis=1)[:, :n]
    else:
        drawn = [
            rng.choice(n + m, n, replace=False, shuffle=False) for _ in range(RANDOM_DIVISIONS)
        ]
        chosen = np.stack(drawn).astype(np.int32)
    chosen[0] = np.arange(n)
    return chosen


def _p_of_ranks(values: Numbers, n: int, effect: float, error: float) -> float:
    """The share of divisions of the values, of which the first sample has n, that are as
    extreme as the observed one; those without variance are the most extreme. Of many
    values p is that of the normal distribution.
    """
    m = len(values) - n
    if min(n, m) > MANY:
        return 2 * float(stats.norm.sf(abs(effect) / (error or TOLERANCE)))
    effects, variances = of_divisions(n, m, lambda chosen: _effects(values, chosen))
    # Squared, and multiplied by both variances, of which one may be 0.
    excess = effects**2 * variances[0] - effects[0] ** 2 * variances
    return float(np.mean(excess >= -TOLERANCE))


def _effects(values: Numbers, chosen: Places) -> Numbers:
    """The effect P - 1/2 of each division, times 2 n m, and its variance, times (2 n m)^2
    (n - 1) (m - 1): these are whole numbers, so that ties are found.

    The variance is that of the placements, each the share of the other sample that a value
    exceeds or, in the second one, is exceeded by; a sample of one value has none. By
    definition, for one division::

        first_placements = [sum(2 * (x > y) + (x == y) for y in second) for x in first]
        second_placements = [sum(2 * (x > y) + (x == y) for x in first) for y in second]
        total = sum(first_placements)  # and of the others
        effect = total - n * m
        variance = max(m - 1, 1) * (n * sum(p**2 for p in first_placements) - total**2)
        variance += max(n - 1, 1) * (m * sum(p**2 for p in second_placements) - total**2)

    Here only the first samples, which are the smaller ones, are looked at.
    """
    n = chosen.shape[1]
    m = len(values) - n
    ordered = np.sort(values)
    # The first sample in ascending order: how many of all values are below each, and
    # how many are not above it; then how many of the first sample.
    below = np.sort(np.searchsorted(ordered, values)[chosen], axis=1)
    not_above = np.searchsorted(ordered, ordered, "right")[below]
    own_below, own_not_above = _places_within(below)
    placements = below + not_above - own_below - own_not_above
    # The placements that these values would have in the second sample. Just below a
    # value that stands ``ties`` times they are larger by ``ties``, just above it
    # smaller: that gives the sum of the squares of all values' placements, from which
    # those of the first sample are taken.
    turned = 2 * n - own_below - own_not_above
    ties = own_not_above - own_below
    squares = 2 * turned * (below + not_above) - ties * (not_above - below) - turned**2
    total, first, second = [
        terms.sum(axis=1).astype(float) for terms in (placements, placements**2, squares)
    ]
    variances = max(m - 1, 1) * (n * first - total**2)
    variances += max(n - 1, 1) * (m * second - total**2)
    return np.stack([total - n * m, variances])


def _places_within(ascending: Counts) -> tuple[Counts, Counts]:
    """The places of each number in its ascending row: how many numbers are below it, and how
    many are not above it.
    """
    n = ascending.shape[1]
    place = np.arange(1, n)
    differs = ascending[:, 1:] != ascending[:, :-1]
    below, not_above = np.zeros_like(ascending), np.full_like(ascending, n)
    np.maximum.accumulate(differs * place, axis=1, out=below[:, 1:])
    from_the_end = np.where(differs, place, n)[:, ::-1]
    not_above[:, :-1] = np.minimum.accumulate(from_the_end, axis=1)[:, ::-1]
    return below, not_above

"""Intervals and tests, which raise ValueError for samples that are empty or contain nan."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import chain, combinations
from math import comb, inf

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convblocks.figures.estimates import CONFIDENCE, POINTS, RATIO, SHARE, Estimate, Unit, wilson

SIGNIFICANCE = 0.05

# Numbers that differ by less than this share of the largest are tied: float64 rounds
# the differences of accuracies.
TOLERANCE = 1e-12

# Beyond this number of divisions of values into two samples, random ones are drawn.
EXACT_DIVISIONS = 200_000
RANDOM_DIVISIONS = 2**16

# With more values in both samples p is that of the test without permutations, which hardly differs.
MANY = 50

# Divisions that are drawn or summed at a time: the memory of a large comparison stays small.
BLOCK = 4096

Places = NDArray[np.int32]
Numbers = NDArray[np.float64]


def mean_interval(values: Sequence[float], unit: Unit = RATIO) -> Estimate:
    """Mean, standard deviation (n - 1 in the denominator) and Student's t interval,
    which n = 1 does not have.

    The interval assumes roughly normal values: it means little where some runs
    collapse. It ends where the unit does: an accuracy above 100 %, or a negative loss,
    is no possible mean.
    """
    sample = sample_of(values)
    n, mean = len(sample), float(sample.mean())
    if n == 1:
        return Estimate(mean, n=1, unit=unit)
    deviation = float(sample.std(ddof=1))
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / n**0.5
    low, high = max(mean - margin, unit.least), min(mean + margin, unit.most)
    return Estimate(mean, low, high, n, unit=unit, deviation=deviation)


def permutation_test(
    first: Sequence[float], second: Sequence[float], unit: Unit = POINTS
) -> Estimate:
    """Test the difference of two means: how often is a random division of the values as
    extreme, in Welch's t?

    Up to 200,000 divisions of the values into two samples of these sizes, the test is
    exact if the distributions differ in location only. Divided by its standard error,
    the difference may be tested without that assumption if the samples are large (A.
    Janssen, "Studentized permutation tests for non-i.i.d. hypotheses and the
    generalized Behrens-Fisher problem", Statistics & Probability Letters 36, 1997; E.
    Chung and J. P. Romano, "Exact and asymptotically robust permutation tests", Annals
    of Statistics 41, 2013).

    The interval is Welch's, and infinite if no values of this number could be
    significant. Near 5 % the two may disagree, since the interval assumes normal
    values: then p decides.
    """
    if len(first) > len(second):
        return -permutation_test(second, first, unit)
    samples = sample_of(first), sample_of(second)
    n, m = map(len, samples)
    difference = float(samples[0].mean() - samples[1].mean())
    parts = [
        float(sample.var(ddof=1)) / len(sample) if len(sample) > 1 else inf for sample in samples
    ]
    weights = [part**2 / (size - 1) for part, size in zip(parts, (n, m), strict=True) if size > 1]
    freedom = (
        sum(parts) ** 2 / sum(weights) if min(n, m) > 1 and any(weights) else inf
    )  # Satterthwaite's
    error = sum(parts) ** 0.5
    can_decide = least_p_unpaired(n, m) < SIGNIFICANCE
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error if can_decide else inf
    values = np.concatenate(samples)
    values -= values.mean()
    values /= np.abs(values).max() or 1.0
    p = _p(partial(_differences_of_means, values), n, m, difference, error, freedom)
    return Estimate(difference, difference - reach, difference + reach, min(n, m), p, unit)


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
    as if by two more values: our choice, by simulation (test_superiority.py).
    """
    if len(first) > len(second):
        return superiority(second, first).complement()
    values = np.concatenate([sample_of(sample, infinite=True) for sample in (first, second)])
    n, m = len(first), len(second)
    effect, variance = _effects(values, np.arange(n, dtype=np.int32)[np.newaxis])[:, 0].tolist()
    probability = 0.5 + effect / (2 * n * m)
    variance /= (2 * n * m) ** 2 * max(n - 1, 1) * max(m - 1, 1)
    p = _p(partial(_effects, values), n, m, probability - 0.5, variance**0.5, inf)
    size, share = min(n, m), 1.0
    if size > 1 and 0 < probability < 1:
        share = (size * min(size * variance / (probability * (1 - probability)), 1.0) + 2) / (
            size + 2
        )
    return Estimate(probability, *wilson(probability, size / share), size, p, SHARE)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the stated probability of an error holds for all of them
    together.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6, 1979.
    """
    values = np.asarray(p_values, dtype=float)
    order, factors = np.argsort(values), len(values) - np.arange(len(values))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1)
    return [float(p) for p in adjusted]


def least_p_unpaired(n: int, m: int) -> float:
    """The smallest p that the permutation test of n and m values can have."""
    if min(n, m) > MANY:
        return 0.0
    if (total := comb(n + m, n)) > EXACT_DIVISIONS:
        return 1 / RANDOM_DIVISIONS
    return (
        2 if n == m else 1
    ) / total  # samples of one size differ by as much when they are exchanged


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


@lru_cache(maxsize=4)
def divisions(n: int, m: int) -> Places:
    """Which of n + m values are the first sample, of shape (divisions, n); in the first
    row the first n.
    """
    if (total := comb(n + m, n)) <= EXACT_DIVISIONS:
        places = chain.from_iterable(combinations(range(n + m), n))
        return np.fromiter(places, dtype=np.int32, count=total * n).reshape(total, n)
    rng = np.random.default_rng(0)
    if m <= MANY:
        rows = np.tile(np.arange(n + m, dtype=np.int32), (RANDOM_DIVISIONS, 1))
        chosen = rng.permuted(rows, axis=1)[:, :n]
    else:
        drawn = (
            rng.choice(n + m, n, replace=False, shuffle=False) for _ in range(RANDOM_DIVISIONS)
        )
        chosen = np.stack([*drawn]).astype(np.int32)
    chosen[0] = np.arange(n)
    return chosen


def _p(
    statistic: Callable[[Places], Numbers],
    n: int,
    m: int,
    difference: float,
    error: float,
    freedom: float,
) -> float:
    """The share of divisions that are as extreme as the observed one; those without
    variance are the most extreme.

    ``statistic`` gives the effects of divisions and the squared standard errors, of
    shape (2, divisions). Of many values p is that of Student's distribution, which with
    infinite ``freedom`` is the normal one.
    """
    if min(n, m) > MANY:
        return 2 * float(stats.t.sf(abs(difference) / (error or TOLERANCE), freedom))
    chosen = divisions(n, m)
    blocks = [statistic(chosen[start : start + BLOCK]) for start in range(0, len(chosen), BLOCK)]
    effects, variances = np.concatenate(blocks, axis=1)
    # Squared, and multiplied by both variances, of which one may be 0.
    return float(np.mean(effects**2 * variances[0] - effects[0] ** 2 * variances >= -TOLERANCE))


def _differences_of_means(values: Numbers, chosen: Places) -> Numbers:
    """The differences of the means of divisions, and their squared standard errors; a
    single value adds none.
    """
    n = chosen.shape[1]
    terms = np.stack([values, values**2])
    inside = terms[:, chosen].sum(axis=2)
    samples = (inside, n), (terms.sum(axis=1, keepdims=True) - inside, len(values) - n)
    errors = sum(
        (sums[1] - sums[0] ** 2 / size) / (size * max(size - 1, 1)) for sums, size in samples
    )
    return np.stack([samples[0][0][0] / n - samples[1][0][0] / samples[1][1], errors])


def _effects(values: Numbers, chosen: Places) -> Numbers:
    """For each division P - 1/2, times 2 n m, and its variance, times (2 n m)^2 (n - 1)
    (m - 1).

    So they are whole, and ties are found. The variance is that of the placements, each
    the share of the other sample that a value exceeds or, in the second one, is
    exceeded by; a sample of one value has none.
    """
    n = chosen.shape[1]
    m, ordered = len(values) - n, np.sort(values)
    # The first sample in ascending order: how many of all values are below each, and
    # how many are not above it.
    below = np.sort(np.searchsorted(ordered, values)[chosen], axis=1)
    not_above = np.searchsorted(ordered, ordered, "right")[below]
    # How many of the first sample are below each, and how many are not above it.
    place, differs = np.arange(n), below[:, 1:] != below[:, :-1]
    lower, upper = np.zeros_like(below), np.full_like(below, n)
    np.maximum.accumulate(differs * place[1:], axis=1, out=lower[:, 1:])
    upper[:, :-1] = np.minimum.accumulate(np.where(differs, place[1:], n)[:, ::-1], axis=1)[:, ::-1]
    placements = below + not_above - lower - upper
    # The squares of the second sample's, from those that the first sample's values
    # would have there.
    squares = 4 * (n - upper) * (below + not_above) + (upper - lower) * (3 * below + not_above)
    squares -= (2 * n - lower - upper) ** 2
    total, first, second = (
        terms.sum(axis=1).astype(float) for terms in (placements, placements**2, squares)
    )
    variances = max(m - 1, 1) * (n * first - total**2) + max(n - 1, 1) * (m * second - total**2)
    return np.stack([total - n * m, variances])

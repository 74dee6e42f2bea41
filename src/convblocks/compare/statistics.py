"""Intervals and tests. All raise ValueError for samples that are empty or contain nan."""

from collections.abc import Sequence
from math import ceil, comb, inf

import numpy as np
from scipy import stats

from convblocks.compare.permutations import EXACT_DIVISIONS, RANDOM_PERMUTATIONS, Numbers, divisions, sums
from convblocks.figures.estimates import CONFIDENCE, POINTS, RATIO, Estimate, Unit

SIGNIFICANCE = 0.05

# The power of a larger study to find a difference as large as the observed one.
POWER = 0.9

# Numbers that differ by less than this share of the largest are tied: float64 rounds the differences of accuracies.
TOLERANCE = 1e-12


def mean_interval(values: Sequence[float], unit: Unit = RATIO) -> Estimate:
    """Mean, standard deviation (n - 1 in the denominator) and Student's t interval, which n = 1 does not have.

    The interval assumes roughly normal values: it means little where some runs collapse. It ends where the unit does:
    an accuracy above 100 %, or a negative loss, is no possible mean.
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
    first: Sequence[float], second: Sequence[float], margin: float = 0.0, unit: Unit = POINTS
) -> Estimate:
    """Test the difference of two means against ``margin``: how often is a random division as extreme, in Welch's t?

    Up to 200,000 divisions of the values into two samples of these sizes, the test is exact if the distributions
    differ in location only. Divided by its standard error, the difference may be tested without that assumption if the
    samples are large (A. Janssen, "Studentized permutation tests for non-i.i.d. hypotheses and the generalized
    Behrens-Fisher problem", Statistics & Probability Letters 36, 1997; E. Chung and J. P. Romano, "Exact and
    asymptotically robust permutation tests", Annals of Statistics 41, 2013).

    The interval is Welch's, and infinite if no values of this number could be significant. Near 5 % the two may
    disagree, since the interval assumes normal values: then p decides.
    """
    one, other = sample_of(first), sample_of(second)
    n, m = len(one), len(other)
    difference = float(one.mean() - other.mean())
    error, freedom = _welch(one, other)
    reach = inf if freedom == 0 or least_p_unpaired(n, m) >= SIGNIFICANCE else error
    reach *= float(stats.t.ppf((1 + CONFIDENCE) / 2, max(freedom, 1)))
    p = _welch_p(one - margin, other)
    return Estimate(difference, difference - reach, difference + reach, min(n, m), p, unit)


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


def least_p_unpaired(n: int, m: int, *, ranks: bool = False) -> float:
    """The smallest p that the permutation test of n and m values can have, or that of their ranks."""
    count = comb(n + m, n)
    if count > EXACT_DIVISIONS:
        return 1 / RANDOM_PERMUTATIONS
    # Of samples of one size the exchanged ones differ by as much; ranks do where all of either sample are above.
    return (2 if n == m or ranks else 1) / count


def runs_needed(first: Sequence[float], second: Sequence[float], tests: int = 1) -> int | None:
    """The number of runs of each that would find such a difference of means at 5 % in nine studies of ten.

    By the normal approximation, as one of so many tests; None without a difference, or without two runs of each to see
    their spread.
    """
    if min(len(first), len(second)) < 2 or (distance := abs(np.mean(first) - np.mean(second))) == 0:
        return None
    variances = np.var(first, ddof=1) + np.var(second, ddof=1)
    deviates = stats.norm.ppf(1 - SIGNIFICANCE / 2 / tests) + stats.norm.ppf(POWER)
    return max(2, ceil(variances * (deviates / distance) ** 2))


def sample_of(values: Sequence[float], *, infinite: bool = False) -> Numbers:
    """The values as an array, which may be infinite only if the flag is set; a ValueError if they are no sample."""
    sample = np.asarray(values, dtype=float)
    if not sample.size:
        raise ValueError("the sample is empty")
    if np.isnan(sample).any() or (np.isinf(sample).any() and not infinite):
        raise ValueError("the sample has a value that is nan or infinite")
    return sample


def _welch(one: Numbers, other: Numbers) -> tuple[float, float]:
    """The standard error of a difference of means and Satterthwaite's degrees of freedom, 0 for a single value."""
    if min(len(one), len(other)) == 1:
        return 0.0, 0.0
    parts = [float(sample.var(ddof=1)) / len(sample) for sample in (one, other)]
    weights = [part**2 / (len(sample) - 1) for part, sample in zip(parts, (one, other), strict=True)]
    return sum(parts) ** 0.5, sum(parts) ** 2 / sum(weights) if any(weights) else inf


def _welch_p(one: Numbers, other: Numbers) -> float:
    """The share of divisions in which Welch's t is as extreme; those without variance are the most extreme."""
    n, m = len(one), len(other)
    values = np.concatenate([one, other])
    values -= values.mean()
    values /= np.abs(values).max() or 1.0
    terms = np.stack([values, values**2])
    inside = sums(terms, divisions(n, m))
    outside = terms.sum(axis=1, keepdims=True) - inside
    differences = inside[0] / n - outside[0] / m
    errors = _squared_error(inside, n) + _squared_error(outside, m)
    # Squared, and multiplied by both squared errors, of which one may be 0.
    lead = differences**2 * errors[0] - differences[0] ** 2 * errors
    return float(np.mean(lead >= -TOLERANCE))


def _squared_error(own: Numbers, size: int) -> Numbers:
    """Of a sample's mean, from the sums of its values and of their squares; a single value has none."""
    total, squares = own
    return np.asarray((squares - total**2 / size) / (size * max(size - 1, 1)))

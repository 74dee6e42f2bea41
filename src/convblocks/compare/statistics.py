"""Intervals and tests. All raise ValueError for samples that are empty or contain nan."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, combinations, count
from math import ceil, comb, inf

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convblocks.figures.estimates import CONFIDENCE, POINTS, RATIO, SHARE, Estimate, Unit, wilson

SIGNIFICANCE = 0.05

# The power of a larger study to find a difference as large as the observed one.
POWER = 0.9

# Numbers that differ by less than this share of the largest are tied: float64 rounds the differences of accuracies.
TOLERANCE = 1e-12

# Beyond this number of divisions of values into two samples, random ones are drawn.
EXACT_DIVISIONS = 200_000
RANDOM_DIVISIONS = 2**16

# With more values in both samples p is that of the test without permutations, which hardly differs.
MANY = 50

# Divisions that are drawn or summed at a time: the memory of a large comparison stays small.
BLOCK = 4096

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


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
    if min(n, m) > MANY:
        p = 2 * float(stats.t.sf(abs(difference - margin) / (error or TOLERANCE), freedom))
    else:
        p = _welch_p(one - margin, other)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error if least_p_unpaired(n, m) < SIGNIFICANCE else inf
    return Estimate(difference, difference - reach, difference + reach, min(n, m), p, unit)


def superiority(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The probability that a value of ``first`` exceeds one of ``second``; ties count half, values may be infinite.

    The p is that of the studentized permutation test for a probability of 1/2: how often is a random division as
    extreme in the statistic of E. Brunner and U. Munzel (Biometrical Journal 42, 2000)? Exact, up to 200,000 divisions,
    if the distributions are equal; valid asymptotically if they are not (K. Neubert and E. Brunner, "A studentized
    permutation test for the non-parametric Behrens-Fisher problem", Computational Statistics & Data Analysis 51, 2007).
    """
    probability, low, high = superiority_interval(first, second)
    p = _brunner_munzel_p(sample_of(first, infinite=True), sample_of(second, infinite=True))
    return Estimate(probability, low, high, min(len(first), len(second)), p, SHARE)


def superiority_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """The probability that a value of ``first`` exceeds one of ``second``, and its 95 % confidence interval.

    The variance of the estimate P is at most P (1 - P) / n, n being the smaller sample's size (Z. W. Birnbaum and O. M.
    Klose, Annals of Mathematical Statistics 28, 1957). Like S. Schüürhuis et al. (Biometrical Journal 67, 2025) we
    estimate which share of this bound it is (from the variance of E. R. DeLong et al., Biometrics 44, 1988); the
    interval is Wilson's for n / share trials. So it stays within 0 and 1, and equals that of the rate of collapses if
    these alone decide. From few values the share is underestimated, and with P at 0 or 1 undefined, so it is shrunk
    towards 1 as if by two more values: our choice, by simulation (test_superiority.py).
    """
    one, other = sample_of(first, infinite=True), sample_of(second, infinite=True)
    wins, losses = _placements(one, other), _placements(other, one)
    probability = float(wins.mean())
    return probability, *wilson(probability, min(len(one), len(other)) / _variance_share(wins, losses))


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
    found = comb(n + m, n)
    if found > EXACT_DIVISIONS:
        return 1 / RANDOM_DIVISIONS
    # Of samples of one size the exchanged ones differ by as much; ranks do where all of either sample are above.
    return (2 if n == m or ranks else 1) / found


def runs_that_decide(tests: int) -> int:
    """The least runs of each with which so many tests can be decided if all runs agree."""
    return next(n for n in count(1) if tests * least_p_unpaired(n, n) < SIGNIFICANCE)


def runs_needed(first: Sequence[float], second: Sequence[float], tests: int = 1) -> int | None:
    """The number of runs of each that would find such a difference of means at 5 % in nine studies of ten.

    By the normal approximation, as one of so many tests; None without a difference, or without two runs of each.
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


@lru_cache(maxsize=4)
def divisions(n: int, m: int) -> Mask:
    """Which of n + m values belong to the first sample, of shape (divisions, n + m); in the first row the first n."""
    found = comb(n + m, n)
    if found <= EXACT_DIVISIONS:
        chosen = np.fromiter(chain.from_iterable(combinations(range(n + m), n)), dtype=int, count=found * n)
    else:
        rng, places = np.random.default_rng(0), np.tile(np.arange(n + m), (BLOCK, 1))
        drawn = [rng.permuted(places, axis=1)[:, :n] for _ in range(RANDOM_DIVISIONS // BLOCK)]
        drawn[0][0] = np.arange(n)
        chosen = np.concatenate(drawn)
    mask = np.zeros((chosen.size // n, n + m), dtype=bool)
    np.put_along_axis(mask, chosen.reshape(-1, n), True, axis=1)
    return mask


def sums(values: Numbers, chosen: Mask) -> Numbers:
    """The sums of the chosen values (k, n), for each row of a mask: (k, divisions)."""
    blocks = range(0, len(chosen), BLOCK)
    return np.concatenate([values @ chosen[start : start + BLOCK].T.astype(float) for start in blocks], axis=1)


def _welch(one: Numbers, other: Numbers) -> tuple[float, float]:
    """The standard error of a difference of means, infinite of a single value, and Satterthwaite's freedom."""
    if min(len(one), len(other)) == 1:
        return inf, 1.0
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
    # The squared standard errors, from sums and sums of squares; a single value adds none.
    samples = (inside, n), (outside, m)
    errors = sum((own[1] - own[0] ** 2 / size) / (size * max(size - 1, 1)) for own, size in samples)
    # Squared, and multiplied by both squared errors, of which one may be 0.
    return float(np.mean(differences**2 * errors[0] - differences[0] ** 2 * errors >= -TOLERANCE))


def _placements(one: Numbers, other: Numbers) -> Numbers:
    """The share of the other sample that each value exceeds; ties count half."""
    ordered = np.sort(other)
    below, not_above = (np.searchsorted(ordered, one, side) for side in ("left", "right"))
    return np.asarray((below + not_above) / (2 * len(other)))


def _variance_share(wins: Numbers, losses: Numbers) -> float:
    """The variance of the probability as a share of the largest possible, from both placements; shrunk towards 1."""
    n, probability = min(len(wins), len(losses)), wins.mean()
    bound = probability * (1 - probability) / n
    if n == 1 or bound == 0:
        return 1.0
    variance = sum(placements.var(ddof=1) / len(placements) for placements in (wins, losses))
    return float((n * min(variance / bound, 1.0) + 2) / (n + 2))


def _brunner_munzel_p(one: Numbers, other: Numbers) -> float:
    """The share of divisions that are as extreme; those without variance, where the samples are apart, are the most."""
    if min(len(one), len(other)) > MANY:
        with np.errstate(divide="ignore", invalid="ignore"):  # of samples that are apart, or all tied
            p = float(stats.brunnermunzel(one, other, distribution="normal").pvalue)
        return 1.0 if np.isnan(p) else p
    chosen = divisions(len(one), len(other))
    values = np.concatenate([one, other])
    wins = _doubled_wins(values, values)
    blocks = [_effects(wins, chosen[start : start + BLOCK]) for start in range(0, len(chosen), BLOCK)]
    effects, variances = np.concatenate(blocks, axis=1)
    # Squared, and multiplied by both variances, of which one may be 0.
    return float(np.mean(effects**2 * variances[0] >= effects[0] ** 2 * variances * (1 - TOLERANCE)))


def _effects(wins: Numbers, chosen: Mask) -> Numbers:
    """For each division P - 1/2, times 2 n m, and its variance, times (2 n m)^2 (n - 1) (m - 1).

    So they are whole, and ties are found, if the samples are not of hundreds. The variance is that of the placements,
    each the share of the other sample that a value exceeds or is exceeded by; a sample of one value has none.
    """
    first = chosen.astype(float)
    n = int(first[0].sum())
    m = len(wins) - n
    # Of two values' doubled wins over each other the sum is 2, so those over the second sample follow from these.
    placements = first @ wins + first * (wins.sum(axis=1) - 2 * n)
    squares = np.square(placements)
    total, own = (np.einsum("ij,ij->i", first, values) for values in (placements, squares))
    others = squares.sum(axis=1) - own
    return np.stack([total - n * m, max(m - 1, 1) * (n * own - total**2) + max(n - 1, 1) * (m * others - total**2)])


def _doubled_wins(one: Numbers, other: Numbers) -> Numbers:
    """2 where a value of the one exceeds one of the other, 1 where they tie, else 0: of shape (n, m)."""
    return np.add(np.greater.outer(one, other), np.greater_equal.outer(one, other), dtype=float)

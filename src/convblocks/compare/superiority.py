"""The probability that a run of one network is better than one of another. Raises what ``statistics`` raises."""

from collections.abc import Sequence

import numpy as np

from convblocks.compare.large_samples import are_large, brunner_munzel_p
from convblocks.compare.permutations import BLOCK, Mask, Numbers, divisions
from convblocks.compare.statistics import TOLERANCE, sample_of
from convblocks.figures.estimates import SHARE, Estimate, wilson


def superiority(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The probability that a value of ``first`` exceeds one of ``second``; ties count half, values may be infinite.

    The p is that of the studentized permutation test for a probability of 1/2: how often is a random division as
    extreme in the statistic of E. Brunner and U. Munzel (Biometrical Journal 42, 2000)? Exact, up to 200,000 divisions,
    if the distributions are equal; valid asymptotically if they are not (K. Neubert and E. Brunner, "A studentized
    permutation test for the non-parametric Behrens-Fisher problem", Computational Statistics & Data Analysis 51, 2007).
    Of more than 200 values it is Brunner and Munzel's own test.
    """
    probability, low, high = superiority_interval(first, second)
    if are_large(first, second):
        p = brunner_munzel_p(first, second, probability)
    else:
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
    chosen = divisions(len(one), len(other))
    values = np.concatenate([one, other])
    wins = _doubled_wins(values, values)
    blocks = [_effects(wins, chosen[start : start + BLOCK]) for start in range(0, len(chosen), BLOCK)]
    effects, variances = np.concatenate(blocks, axis=1)
    # Squared, and multiplied by both variances, of which one may be 0.
    as_extreme = effects**2 * variances[0] >= effects[0] ** 2 * variances * (1 - TOLERANCE)
    return float(as_extreme.mean())


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

"""The difference of two means: the permutation test, its interval, and how many runs
would find the difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from math import ceil, floor, inf, log10

import numpy as np
from scipy import stats

from convblocks.compare.statistics import (
    MANY,
    SIGNIFICANCE,
    TOLERANCE,
    Numbers,
    least_p_unpaired,
    of_divisions,
    sample_of,
)
from convblocks.figures.estimates import POINTS, Estimate, Unit


def permutation_test(
    first: Sequence[float],
    second: Sequence[float],
    unit: Unit = POINTS,
    margin: float = 0.0,
    level: float = SIGNIFICANCE,
) -> Estimate:
    """Test whether two means differ by the margin: how often is a random division of the
    values as extreme, in Welch's t?

    Up to 200,000 divisions of the values into two samples of these sizes, the test is
    exact if the distributions differ in location only. Divided by its standard error,
    the difference may be tested without that assumption if the samples are large (A.
    Janssen, "Studentized permutation tests for non-i.i.d. hypotheses and the
    generalized Behrens-Fisher problem", Statistics & Probability Letters 36, 1997; E.
    Chung and J. P. Romano, "Exact and asymptotically robust permutation tests", Annals
    of Statistics 41, 2013). In samples of one size Welch's t is as extreme as the
    difference itself, so the test is Pitman's (Supplement to the Journal of the Royal
    Statistical Society 4, 1937).

    The interval is of the same test: it holds the margins that the test does not reject
    at the level, with the same divisions for all (P. H. Garthwaite, "Confidence
    intervals from randomization tests", Biometrics 52, 1996). It leaves the tested
    margin out if and only if p is below the level, also where p falls and rises again,
    as it may for samples of different sizes. It is infinite if no values of this number
    could be significant.
    """
    if len(first) > len(second):
        return -permutation_test(second, first, unit, -margin, level)
    one, other = sample_of(first), sample_of(second)
    scale = float(np.abs(np.concatenate([one, other])).max()) or 1.0
    one = one / scale
    other = other / scale
    difference = float(one.mean() - other.mean())
    tested = margin / scale - difference
    if len(one) > MANY:
        error, freedom = _welch(one, other)
        p = 2 * float(stats.t.sf(abs(tested) / (error or TOLERANCE), freedom))
        below = above = float(stats.t.isf(level / 2, freedom)) * error
    else:
        divided = _divided(tuple(one - one.mean()), tuple(other - other.mean()))
        p = divided.as_extreme(tested, TOLERANCE) / divided.count
        below, above = (divided.reach(side, tested, level) for side in (-1, 1))
    ends = (difference, difference - below, difference + above)
    value, low, high = (_without_rounding_error(end, scale) for end in ends)
    return Estimate(value, low, high, len(one), p=p, unit=unit)


def runs_that_decide(tests: int) -> int:
    """The least runs of each with which this many tests can be decided if all runs agree."""
    return next(n for n in count(1) if tests * least_p_unpaired(n, n) < SIGNIFICANCE)


def runs_needed(
    first: Sequence[float], second: Sequence[float], tests: int = 1, power: float = 0.8
) -> int | None:
    """The number of runs of each that would find such a difference of means at 5 % with
    this probability.

    As one of ``tests``, by the normal approximation with W. C. Guenther's correction
    for small samples (The American Statistician 35, 1981); None without a difference,
    or without two runs of each.
    """
    distance = abs(np.mean(first) - np.mean(second))
    if distance == 0 or min(len(first), len(second)) < 2:
        return None
    variances = np.var(first, ddof=1) + np.var(second, ddof=1)
    quantile = stats.norm.isf(SIGNIFICANCE / 2 / tests)
    deviates = quantile + stats.norm.ppf(power)
    needed = variances * (deviates / distance) ** 2 + quantile**2 / 4
    return max(runs_that_decide(tests), ceil(needed))


@dataclass(frozen=True)
class _Divided:
    """Welch's statistic of every division of two samples, if the margin is ``t`` above
    the observed difference.

    The difference of means is then -t as observed, and ``differences[0] -
    differences[1] * t`` after a division; the squared standard error stays as observed,
    and is a quadratic in t after a division.

    Args:
        count: The number of divisions.
        alike: The number of divisions that only exchange the samples, or change nothing:
            these are as extreme at every t.
        error: The observed standard error.
        differences: The coefficients of the differences for the other divisions: (2, others).
        variances: The coefficients of the squared standard errors: (3, others).
    """

    count: int
    alike: int
    error: float
    differences: Numbers
    variances: Numbers

    @classmethod
    def of(cls, one: Numbers, other: Numbers) -> "_Divided":
        """The divisions of samples that have both been moved to a mean of 0, lest sums
        of squares lose digits; a single value adds no error.
        """
        n = len(one)
        m = len(other)
        values = np.concatenate([one, other])
        moved = np.repeat([1.0, 0.0], [n, m])
        terms = np.stack([values, moved, values**2, values * moved])
        inside = of_divisions(n, m, lambda chosen: terms[:, chosen].sum(axis=2))
        outside = terms.sum(axis=1, keepdims=True) - inside
        differences = inside[:2] / n - outside[:2] / m
        variances = _squared_errors(inside, n) + _squared_errors(outside, m)
        mixed = np.abs(differences[1]) < 1 - TOLERANCE
        return cls(
            count=len(mixed),
            alike=int(np.sum(~mixed)),
            error=float(max(variances[0, 0], 0) ** 0.5),
            differences=differences[:, mixed],
            variances=variances[:, mixed],
        )

    def as_extreme(self, t: float, tolerance: float = 0.0) -> int:
        """The number of divisions whose statistic is as far from 0 as the observed one, or is so
        but for the rounding of values.
        """
        constant, linear, square = self.variances
        differences = np.abs(self.differences[0] - self.differences[1] * t)
        errors = np.sqrt(np.maximum(constant + t * (linear + t * square), 0))
        # Multiplied by both standard errors, of which one may be 0.
        lead = differences * self.error - abs(t) * errors
        rounding = tolerance * (differences + self.error + abs(t) + errors)
        return self.alike + int(np.count_nonzero(lead >= -rounding))

    def reach(self, side: int, tested: float, level: float) -> float:
        """The distance from the observed difference, on the side 1 or -1, at which p falls below
        the level: beyond the margin at ``tested`` if that has a larger p, else before it.
        """
        least = ceil(level * self.count - TOLERANCE)
        if self.alike >= least:
            return inf
        inner = 0.0
        outer = self.error + TOLERANCE
        if side * tested > 0:
            outer = abs(tested)
            if self.as_extreme(tested, TOLERANCE) >= least:
                inner = outer
                outer *= 2
        while self.as_extreme(side * outer) >= least:
            inner = outer
            outer *= 2
        while outer - inner > TOLERANCE / 1000 * max(1.0, outer):
            middle = (inner + outer) / 2
            if self.as_extreme(side * middle) >= least:
                inner = middle
            else:
                outer = middle
        return inner


# The cache holds the pairs of a few networks: their p is asked for first, then their intervals at
# Holm's level.
@lru_cache(maxsize=8)
def _divided(one: tuple[float, ...], other: tuple[float, ...]) -> _Divided:
    return _Divided.of(np.array(one), np.array(other))


def _squared_errors(own: Numbers, size: int) -> Numbers:
    """The squared standard error of a sample's mean as coefficients of 1, t and t^2, of
    shape (3, divisions).

    From the sums of its values, of how many t is taken from, of the squares, and of the
    values t is taken from.
    """
    values, moved, squares, products = own
    squared = [
        squares - values**2 / size,
        -2 * (products - values * moved / size),
        moved - moved**2 / size,
    ]
    return np.stack(squared) / (size * max(size - 1, 1))


def _welch(first: Numbers, second: Numbers) -> tuple[float, float]:
    """The standard error of a difference of means, and its degrees of freedom after
    Satterthwaite.
    """
    part = float(first.var(ddof=1)) / len(first)
    other = float(second.var(ddof=1)) / len(second)
    variance = part + other
    weights = part**2 / (len(first) - 1) + other**2 / (len(second) - 1)
    freedom = variance**2 / weights if weights else inf
    return variance**0.5, freedom


def _without_rounding_error(value: float, scale: float) -> float:
    """``value * scale`` in the decimals that float64 gets right at this scale: 0.1 for
    0.3 - 0.2.
    """
    return round(float(value) * scale, 12 - floor(log10(scale))) + 0.0  # no -0.0

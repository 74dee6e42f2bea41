"""The statistics that the paper needs beyond those of reports. All raise ValueError as
``compare.statistics`` does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import ceil, floor, inf, log10

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convblocks.compare.statistics import (
    BLOCK,
    SIGNIFICANCE,
    TOLERANCE,
    Numbers,
    divisions,
    holm,
    least_p_unpaired,
    sample_of,
)
from convblocks.figures.estimates import CONFIDENCE, POINTS, Estimate, Unit
from convblocks.run.result import RunResult
from lab.results import collapses

BOOTSTRAP_RESAMPLES = 2000

# The power of a larger study to find a difference as large as the observed one.
POWER = 0.9

Mask = NDArray[np.bool_]


def exact_permutation_test(
    first: Sequence[float], second: Sequence[float], unit: Unit = POINTS, margin: float = 0.0
) -> Estimate:
    """``permutation_test`` of reports against a margin, with the interval that belongs
    to it, instead of Welch's.

    The interval holds the differences that the test does not reject at 5 %; it is
    infinite if n is too small to reject any. In samples of one size Welch's t is as
    extreme as the difference itself, so the test is Pitman's (Supplement to the Journal
    of the Royal Statistical Society 4, 1937).
    """
    one = sample_of(first)
    other = sample_of(second)
    scale = _scale(np.concatenate([one, other]))
    one = one / scale
    other = other / scale
    difference = float(one.mean() - other.mean())
    divided = _Divided.of(one - one.mean(), other - other.mean())
    p = divided.as_extreme(margin / scale - difference, TOLERANCE) / divided.count
    ends = (difference, difference - divided.reach(-1), difference + divided.reach(1))
    value, low, high = (_without_rounding_error(end, scale) for end in ends)
    return Estimate(value, low, high, min(len(one), len(other)), p=p, unit=unit)


def runs_that_decide(tests: int) -> int:
    """The least runs of each with which this many tests can be decided if all runs agree."""
    return next(n for n in count(1) if tests * least_p_unpaired(n, n) < SIGNIFICANCE)


def runs_needed(first: Sequence[float], second: Sequence[float], tests: int = 1) -> int | None:
    """The number of runs of each that would find such a difference of means at 5 % in
    nine studies of ten.

    By the normal approximation, as one of ``tests``; None without a difference, or
    without two runs of each.
    """
    if min(len(first), len(second)) < 2:
        return None
    distance = abs(np.mean(first) - np.mean(second))
    if distance == 0:
        return None
    variances = np.var(first, ddof=1) + np.var(second, ddof=1)
    deviates = stats.norm.ppf(1 - SIGNIFICANCE / 2 / tests) + stats.norm.ppf(POWER)
    return max(2, ceil(variances * (deviates / distance) ** 2))


def fisher_against(runs: Mapping[str, Sequence[RunResult]], baseline: str) -> dict[str, float]:
    """Fisher's exact test of each arm's failed runs against the baseline's, two-sided,
    after Holm's correction.
    """
    counts = {arm: (collapses(own), len(own)) for arm, own in runs.items()}
    failed, total = counts.pop(baseline)
    p_values = []
    for other, of in counts.values():
        table = np.array([[failed, total - failed], [other, of - other]])
        p_values.append(float(stats.fisher_exact(table).pvalue))
    return dict(zip(counts, holm(p_values), strict=True))


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's exact test, from the numbers of images that only one of
    two networks got right.
    """
    if only_first == only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def two_way_interval(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Estimate:
    """The difference of two networks' accuracies, with an interval for other seeds and
    other images.

    Both arrays, of shape (seeds, images), mark the right answers; the images are the
    same, the seeds need not be. A bootstrap of 2,000 resamples draws seeds and images
    separately and adds the deviations: drawn together they would count the interaction
    of seed and image three times instead of once (A. B. Owen, "The pigeonhole
    bootstrap", Annals of Applied Statistics 1, 2007). Here it counts twice, so the
    interval is slightly too wide. Of n seeds n - 1 are drawn, or their variance would
    be too small by (n - 1) / n. Infinite if a network has one seed only.
    """
    for answers in (first, second):
        if answers.dtype != np.bool_ or answers.ndim != 2:
            raise ValueError("answers come as boolean arrays of shape (seeds, images)")
    if not first.size or not second.size or first.shape[1] != second.shape[1]:
        raise ValueError(f"cannot compare answers of shapes {first.shape} and {second.shape}")
    by_image = first.mean(axis=0) - second.mean(axis=0)
    difference = float(by_image.mean())
    n = min(len(first), len(second))
    if n == 1:
        return Estimate(difference, -inf, inf, unit=POINTS)
    rng = np.random.default_rng(0)
    values, counts = np.unique(by_image, return_counts=True)
    images = counts.sum()
    resampled = rng.multinomial(images, counts / images, size=BOOTSTRAP_RESAMPLES)
    drawn = resampled @ values / images
    drawn += _deviations_by_seed(first, rng) - _deviations_by_seed(second, rng)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(difference, float(low), float(high), n, unit=POINTS)


def sums(values: Numbers, chosen: Mask) -> Numbers:
    """The sums of the chosen values (k, n), for each row of a mask: (k, divisions)."""
    found = []
    for start in range(0, len(chosen), BLOCK):
        block = chosen[start : start + BLOCK]
        found.append(values @ block.T.astype(float))
    return np.concatenate(found, axis=1)


def divided(n: int, m: int) -> Mask:
    """Which of n + m values are the first sample, of shape (divisions, n + m); in the
    first row the first n.
    """
    chosen = divisions(n, m)
    mask = np.zeros((len(chosen), n + m), dtype=bool)
    np.put_along_axis(mask, chosen, True, axis=1)
    return mask


def _scale(values: Numbers) -> float:
    return float(np.abs(values).max()) or 1.0


@dataclass(frozen=True)
class _Divided:
    """Welch's statistic of every division of two samples, if the margin is ``t`` above
    the observed difference.

    The difference of means is then -t as observed, and ``differences[0] -
    differences[1] * t`` after a division; the squared standard error stays as observed,
    and is a quadratic in t after a division.

    Args:
        count: The number of divisions.
        alike: How many of them only exchange the samples, or change nothing: these are
            as extreme at every t.
        error: The observed standard error.
        differences: Of shape (2, others): the coefficients for the other divisions.
        variances: Of shape (3, others).
    """

    count: int
    alike: int
    error: float
    differences: Numbers
    variances: Numbers

    @classmethod
    def of(cls, one: Numbers, other: Numbers) -> "_Divided":
        """The divisions of samples that have both been moved to a mean of 0, lest sums
        of squares lose digits.
        """
        n = len(one)
        m = len(other)
        values = np.concatenate([one, other])
        moved = np.repeat([1.0, 0.0], [n, m])
        terms = np.stack([values, moved, values**2, values * moved])
        inside = sums(terms, divided(n, m))
        outside = terms.sum(axis=1, keepdims=True) - inside
        differences = inside[:2] / n - outside[:2] / m
        variances = _squared_errors(inside, n) + _squared_errors(outside, m)
        mixed = np.abs(differences[1]) < 1 - TOLERANCE
        spread = sum(sample.var(ddof=1) / len(sample) for sample in (one, other) if len(sample) > 1)
        return cls(
            count=len(mixed),
            alike=int(np.sum(~mixed)),
            error=float(spread**0.5),
            differences=differences[:, mixed],
            variances=variances[:, mixed],
        )

    def as_extreme(self, t: float, tolerance: float = 0.0) -> int:
        """How many divisions have a statistic as far from 0 as the observed one, in
        which values may be rounded.
        """
        constant, linear, square = self.variances
        differences = np.abs(self.differences[0] - self.differences[1] * t)
        errors = np.sqrt(np.maximum(constant + t * (linear + t * square), 0))
        # Multiplied by both standard errors, of which one may be 0.
        lead = differences * self.error - abs(t) * errors
        rounding = tolerance * (differences + self.error + abs(t) + errors)
        return self.alike + int(np.count_nonzero(lead >= -rounding))

    def reach(self, side: int) -> float:
        """How far from the observed difference, on the side 1 or -1, is the last margin
        with p >= 0.05?

        The search comes from outside in steps of a fifth, since p need not fall all the
        way, and then bisects.
        """
        least = ceil(SIGNIFICANCE * self.count - TOLERANCE)
        if self.alike >= least:
            return inf
        inner = outer = self._bound()
        while inner > TOLERANCE and self.as_extreme(side * inner) < least:
            inner, outer = 0.8 * inner, inner
        while outer - inner > TOLERANCE / 1000 * max(1.0, outer):
            middle = (inner + outer) / 2
            if self.as_extreme(side * middle) >= least:
                inner = middle
            else:
                outer = middle
        return inner

    def _bound(self) -> float:
        """Farther from the observed difference only the divisions that are alike are as
        extreme.

        The others have a difference of at most a + t, and a standard error of at least
        r t - w. So with the observed error s they are less extreme if s (a + t) < t (r
        t - w).
        """
        a = np.abs(self.differences[0]).max()
        s = self.error
        w = np.sqrt(np.maximum(self.variances[0], 0).max())
        r = np.sqrt(self.variances[2].min())
        return float((w + s + np.sqrt((w + s) ** 2 + 4 * r * s * a)) / (2 * r))


def _squared_errors(own: Numbers, size: int) -> Numbers:
    """The squared standard error of a sample's mean as coefficients of 1, t and t^2, of
    shape (3, divisions).

    From the sums of its values, of how many t is taken from, of the squares, and of the
    values t is taken from.
    """
    if size == 1:
        return np.zeros((3, own.shape[1]))
    values, moved, squares, products = own
    squared = [
        squares - values**2 / size,
        -2 * (products - values * moved / size),
        moved - moved**2 / size,
    ]
    return np.stack(squared) / (size * (size - 1))


def _without_rounding_error(value: float, scale: float) -> float:
    """``value * scale`` in the decimals that float64 gets right at this scale: 0.1 for
    0.3 - 0.2.
    """
    return round(float(value) * scale, 12 - floor(log10(scale))) + 0.0  # no -0.0


def _deviations_by_seed(right: NDArray[np.bool_], rng: np.random.Generator) -> Numbers:
    """The deviation of the mean accuracy of resampled seeds from that of all seeds, of
    shape (resamples).
    """
    accuracies = right.mean(axis=1)
    drawn = rng.integers(len(accuracies), size=(BOOTSTRAP_RESAMPLES, len(accuracies) - 1))
    return np.asarray(accuracies[drawn].mean(axis=1) - accuracies.mean())

"""The statistics that the paper needs beyond those of reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from convblocks.compare.statistics import SIGNIFICANCE, Numbers, holm
from convblocks.figures.estimates import CONFIDENCE, POINTS, Estimate
from convblocks.record.result import RunResult
from lab.results import collapses

BOOTSTRAP_RESAMPLES = 2000

# The power of a larger study to find a difference as large as the observed one.
POWER = 0.9


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


def after_holm(found: Sequence[Estimate]) -> list[Estimate]:
    """The estimates with p-values after Holm's correction over them; intervals stay."""
    p_values = holm([one.p for one in found])
    return [replace(one, p=p) for one, p in zip(found, p_values, strict=True)]


def median_interval(values: ArrayLike) -> Estimate:
    """The median, with the interval between two of the values that covers the true one at
    95 % or more, whatever their distribution (W. J. Conover, Practical Nonparametric
    Statistics, 3.2). Fewer than 6 values have none.
    """
    numbers = np.asarray(values)
    test: Any = stats.quantile_test(numbers, p=0.5)  # its interval is a float in scipy-stubs
    low, high = test.confidence_interval(CONFIDENCE)
    return Estimate(float(np.median(numbers)), float(low), float(high), len(numbers))


def sign_p(more: int, fewer: int) -> float:
    """Two-sided p of the exact sign test, ties left out; of pairs that are right or wrong it
    is McNemar's exact test.
    """
    if more == fewer == 0:
        return 1.0
    return float(stats.binomtest(more, more + fewer).pvalue)


def mcnemar_p(first: Sequence[RunResult], second: Sequence[RunResult]) -> float:
    """Two-sided p of McNemar's exact test: do other seeds collapse in one arm than in another?"""
    one, other = ({run.seed for run in runs if run.failed} for runs in (first, second))
    return sign_p(len(one - other), len(other - one))


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


def _deviations_by_seed(right: NDArray[np.bool_], rng: np.random.Generator) -> Numbers:
    """The deviation of the mean accuracy of resampled seeds from that of all seeds, of
    shape (resamples).
    """
    accuracies = right.mean(axis=1)
    n = len(accuracies)
    drawn = rng.integers(n, size=(BOOTSTRAP_RESAMPLES, n - 1))
    return np.asarray(accuracies[drawn].mean(axis=1) - accuracies.mean())


@dataclass(frozen=True)
class Spread:
    """The standard deviation of test accuracies between seeds, and the one that
    independent errors would give.

    ``low`` and ``high`` are the limits of the chi-square 95 % interval of ``seen``, for
    normal accuracies.
    """

    n: int
    seen: float
    low: float
    high: float
    independent: float


def spread_of(runs: Sequence[RunResult]) -> Spread | None:
    """Of the runs that trained, from the images that each got wrong; None of fewer than
    two.

    If each image were wrong with a probability of its own, independently of the others,
    the accuracy would vary by the sum of p (1 - p) over the images (K. Jordan, "On the
    variance of neural network training with respect to test sets and distributions",
    ICLR 2024). p (1 - p) is estimated without bias from the n runs.
    """
    trained = [run for run in runs if not run.failed]
    n = len(trained)
    if n < 2:
        return None
    wrong = np.stack([mistakes(run) for run in trained])
    share = wrong.mean(axis=0)
    variance = (share * (1 - share)).sum() * n / (n - 1)
    independent = float(np.sqrt(variance) / wrong.shape[1])
    seen = float(np.std(wrong.mean(axis=1), ddof=1))
    low, high = (
        seen * float(np.sqrt((n - 1) / stats.chi2.ppf(level, n - 1)))
        for level in (1 - SIGNIFICANCE / 2, SIGNIFICANCE / 2)
    )
    return Spread(n, seen, low, high, independent)


def mistakes(run: RunResult) -> NDArray[np.bool_]:
    """Which test images a run got wrong: (images,)."""
    wrong = np.zeros(run.facts["images"]["test"], dtype=bool)
    wrong[run.facts["mistakes"]] = True
    return wrong

"""How much of the spread between seeds independent errors would explain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.run.result import RunResult


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
    independent = float(np.sqrt((share * (1 - share)).sum() * n / (n - 1)) / wrong.shape[1])
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

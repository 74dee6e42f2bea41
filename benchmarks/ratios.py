"""How many times as large one quantity is as another, measured in the same rounds, and what targets that meets."""

from collections.abc import Sequence
from math import exp, log
from statistics import fmean

from convblocks.comparison.statistics import mean_interval
from convblocks.estimates import RATIO, Estimate

# What every page says of its ratios, and of their targets.
RATIOS = (
    "A ratio is the geometric mean of the rounds' ratios, in brackets its 95 % interval: Student's t of their "
    "logarithms, n = {rounds} rounds."
)
UNDECIDED = "A target is undecided where the interval holds it."


def ratio(above: Sequence[float], below: Sequence[float], *, repeats: int = 1) -> Estimate:
    """The ratio of two quantities that were measured side by side, that many times a round.

    A round counts once: what is measured in it shares the machine's state of that moment.
    """
    logarithms = [log(one / other) for one, other in zip(above, below, strict=True)]
    rounds = [fmean(logarithms[start : start + repeats]) for start in range(0, len(logarithms), repeats)]
    interval = mean_interval(rounds)
    return Estimate(exp(interval.value), exp(interval.low), exp(interval.high), interval.n, unit=RATIO)

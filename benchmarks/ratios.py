"""How many times as large one quantity is as another, measured in the same rounds, and what targets that meets."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isnan, log
from statistics import fmean

from convblocks.comparison.statistics import mean_interval

# What every page says of its ratios, and of their targets.
RATIOS = (
    "A ratio is the geometric mean of the rounds' ratios, in brackets its 95 % interval: Student's t of their "
    "logarithms, n = {rounds} rounds."
)
UNDECIDED = "A target is undecided where the interval holds it."


@dataclass(frozen=True)
class Ratio:
    """A geometric mean with its 95 % interval, which is nan where there is but one round."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        spread = "" if isnan(self.low) else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.value:.2f}{spread}"

    def is_at_least(self, limit: float) -> str:
        """Whether a target is met, missed or undecided."""
        if self.low >= limit:
            return "met"
        return "missed" if self.high < limit else "undecided"

    def is_at_most(self, limit: float) -> str:
        """Whether a target is met, missed or undecided."""
        if self.high <= limit:
            return "met"
        return "missed" if self.low > limit else "undecided"


def ratio(above: Sequence[float], below: Sequence[float], *, repeats: int = 1) -> Ratio:
    """The ratio of two quantities that were measured side by side, that many times a round.

    A round counts once: what is measured in it shares the machine's state of that moment.
    """
    logarithms = [log(one / other) for one, other in zip(above, below, strict=True)]
    rounds = [fmean(logarithms[start : start + repeats]) for start in range(0, len(logarithms), repeats)]
    interval = mean_interval(rounds)
    return Ratio(exp(interval.mean), exp(interval.low), exp(interval.high))

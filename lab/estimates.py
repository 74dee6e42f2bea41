"""What pages say of estimates beyond reports: whether a target is met, mean and
standard deviation, shares of runs.
"""

from collections.abc import Callable
from typing import Literal

from convblocks.figures.estimates import SHARE, Estimate, number, share

Bar = Literal["at least", "at most"]
Verdict = Literal["met", "missed", "undecided"]


def at_least(estimate: Estimate, limit: float) -> Verdict:
    """Whether a target is met, by the whole interval."""
    if estimate.low >= limit:
        return "met"
    return "missed" if estimate.high < limit else "undecided"


def at_most(estimate: Estimate, limit: float) -> Verdict:
    """Whether a target is met, by the whole interval."""
    return at_least(-estimate, -limit)


VERDICTS: dict[Bar, Callable[[Estimate, float], Verdict]] = {
    "at least": at_least,
    "at most": at_most,
}


def target_text(estimate: Estimate, bar: Bar, limit: float) -> str:
    """A target and whether it is met: ``at most 1.05: met``."""
    return f"{bar} {limit:g}: {VERDICTS[bar](estimate, limit)}"


def excludes_zero(estimate: Estimate) -> bool:
    """Whether it has an interval, and 0 is outside."""
    return estimate.low > 0 or estimate.high < 0


def signed(one: Estimate) -> str:
    """With a sign, but for a probability."""
    return str(one) if one.unit == SHARE else f"{one:+}"


def spread(mean: Estimate) -> str:
    """``97.01 ± 0.66``, the mean and the standard deviation; the value alone where n = 1."""
    shown = number(mean.value, mean.unit)
    if mean.n > 1:
        shown += f" ± {number(mean.deviation, mean.unit)}"
    return shown


def count_text(count: int, total: int) -> str:
    """A count and the interval of its share: ``4 of 12 [14–61 %]``."""
    return f"{count} of {total} {share(count, total).interval()}"

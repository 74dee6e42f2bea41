"""Numbers with their 95 % intervals and p-values, and the only place that knows how these are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf, isfinite, isnan, log10, nan
from typing import Literal, NamedTuple

from scipy.stats import norm

CONFIDENCE = 0.95

# The quantile of the normal distribution that a two-sided 95 % interval reaches to: 1.96.
QUANTILE = float(norm.ppf((1 + CONFIDENCE) / 2))

# Smaller p-values are written as "< 0.0001".
LEAST_P = 0.0001

# A table's cell without a value.
NOTHING = "-"


class Unit(NamedTuple):
    """How values of one kind are written: multiplied by ``scale``, with so many digits.

    A mean lies within ``least`` and ``most``, and so does its interval; a difference of means need not.
    """

    scale: float = 1
    digits: int = 2
    name: str = ""
    least: float = -inf
    most: float = inf


PERCENT = Unit(100, least=0, most=1)  # accuracies in 0..1
POINTS = Unit(100, name=" points")  # differences of accuracies
LOSS = Unit(digits=3, least=0)
SECONDS = Unit(digits=1, name=" s", least=0)
RATIO = Unit()
SHARE = Unit(100, 0, " %")  # probabilities and shares in 0..1


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval.

    Args:
        value: In its own terms, such as an accuracy in 0..1.
        low: The lower end of the interval: nan where there is none, infinite where n is too small for any.
        high: The upper end.
        n: The number of values, of pairs, or of values in the smaller of two samples.
        p: The two-sided p-value of the test to which the interval belongs; nan if there is none.
        unit: How it is written.
        deviation: The standard deviation of the values of a mean; nan of a single one.
    """

    value: float
    low: float = nan
    high: float = nan
    n: int = 1
    p: float = nan
    unit: Unit = RATIO
    deviation: float = nan

    def __eq__(self, other: object) -> bool:
        """Whether all parts are equal; nan equals nan, which Python 3.13's dataclasses deny."""
        return isinstance(other, Estimate) and repr(self) == repr(other)

    def __neg__(self) -> "Estimate":
        return Estimate(-self.value, -self.high, -self.low, self.n, self.p, self.unit, self.deviation)

    @property
    def excludes_zero(self) -> bool:
        """Whether it has an interval, and 0 is outside."""
        return self.low > 0 or self.high < 0

    def complement(self) -> "Estimate":
        """The probability of the contrary."""
        return Estimate(1 - self.value, 1 - self.high, 1 - self.low, self.n, self.p, self.unit)

    def __str__(self) -> str:
        return format(self, "")

    def __format__(self, spec: str) -> str:
        """``97.01 [96.46, 97.57]``; with "+" in ``spec`` signed, with "u" with the unit: ``0.29 points [0.24, 0.34]``.

        Shares are ``80 % [49-94 %]``. Without an interval the value stands alone.
        """
        if self.unit == SHARE:
            return f"{100 * self.value:.0f} % {self.interval(spec)}"
        unit = self.unit.name if "u" in spec else ""
        return f"{self.text(self.value, spec)}{unit} {self.interval(spec)}".rstrip()

    def interval(self, spec: str = "") -> str:
        """``[96.46, 97.57]`` or, of shares, ``[49-94 %]``; empty where there is none."""
        if not isfinite(self.low + self.high):
            return ""
        if self.unit == SHARE:
            return f"[{100 * self.low:.0f}-{100 * self.high:.0f} %]"
        return f"[{self.text(self.low, spec)}, {self.text(self.high, spec)}]"

    def spread(self) -> str:
        """``97.01 ± 0.66``, the mean and the standard deviation; the value alone where n = 1."""
        return f"{self.text(self.value)}{f' ± {self.text(self.deviation)}' if self.n > 1 else ''}"

    def at_least(self, limit: float) -> Literal["met", "missed", "undecided"]:
        """Whether a target is met, by the whole interval."""
        if self.low >= limit:
            return "met"
        return "missed" if self.high < limit else "undecided"

    def at_most(self, limit: float) -> Literal["met", "missed", "undecided"]:
        """Whether a target is met, by the whole interval."""
        return (-self).at_least(-limit)

    def text(self, value: float, spec: str = "") -> str:
        """Another value in the same unit, without its name."""
        shown = round(self.unit.scale * value, self.unit.digits) + 0.0  # no -0.0
        return f"{shown:{'+' if '+' in spec else ''}.{self.unit.digits}f}"


def unit_for(values: Sequence[float]) -> Unit:
    """A unit in which the largest of these values has four digits or, if it is above 1000, no decimals."""
    largest = max((abs(value) for value in values if isfinite(value)), default=0.0)
    return Unit(digits=max(0, 3 - floor(log10(largest)))) if largest else Unit()


def cell(estimate: Estimate | None, spec: str = "") -> str:
    """An estimate in a table's cell."""
    return NOTHING if estimate is None else format(estimate, spec)


def p_number(p: float) -> str:
    """A p-value in a table's cell, to two digits where it matters."""
    if isnan(p):
        return NOTHING
    if p < LEAST_P:
        return f"< {LEAST_P}"
    return f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def p_text(p: float) -> str:
    """A p-value in a sentence: ``p = 0.03``."""
    return f"p {p_number(p)}" if p < LEAST_P else f"p = {p_number(p)}"


def share(count: int, total: int) -> Estimate:
    """A proportion with Wilson's 95 % interval."""
    if not 0 <= count <= total or total == 0:
        raise ValueError(f"{count} of {total} is no proportion")
    return Estimate(count / total, *wilson(count / total, total), n=total, unit=SHARE)


def wilson(proportion: float, trials: float) -> tuple[float, float]:
    """Wilson's 95 % interval; the number of trials need not be whole (E. B. Wilson, JASA 22, 1927)."""
    centre = proportion + QUANTILE**2 / (2 * trials)
    margin = QUANTILE * (proportion * (1 - proportion) / trials + (QUANTILE / (2 * trials)) ** 2) ** 0.5
    width = 1 + QUANTILE**2 / trials
    return max(0.0, (centre - margin) / width), min(1.0, (centre + margin) / width)


def count_text(count: int, total: int) -> str:
    """A count and the interval of its share: ``4 of 12 [14-61 %]``."""
    return f"{count} of {total} {share(count, total).interval()}"

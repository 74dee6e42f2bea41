"""Numbers with their 95 % intervals and p-values, and the only place that knows how
these are written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, nan
from typing import NamedTuple

from scipy.stats import norm

CONFIDENCE = 0.95

# The quantile of the normal distribution that a two-sided 95 % interval reaches to: 1.96.
QUANTILE = float(norm.ppf((1 + CONFIDENCE) / 2))

# Smaller p-values are written as "< 0.001": with very unequal spreads the tests do not hold that.
LEAST_P = 0.001

# A table's cell without a value.
NOTHING = "-"

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


class Unit(NamedTuple):
    """The way in which values of one kind are written: multiplied by ``scale``, with so many
    digits. Their means, and the intervals of these, lie between ``least`` and ``most``.
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
SHARE = Unit(100, 0, " %", 0, 1)  # probabilities and shares in 0..1
COUNT = Unit(digits=0)
P_VALUE = Unit(least=0, most=1)


def number(value: float, unit: Unit = RATIO, signed: bool = False) -> str:
    """A number in its unit, without the unit's name: ``97.01``, ``+0.29``, ``79,510``;
    NOTHING if it is not finite.

    A p-value has two digits where it matters.
    """
    if not isfinite(value):
        return NOTHING
    if unit == P_VALUE:
        if value < LEAST_P:
            return f"< {LEAST_P}"
        return f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
    shown = round(unit.scale * value, unit.digits) + 0.0  # no -0.0
    return f"{shown:{'+' if signed else ''},.{unit.digits}f}".replace("-", MINUS)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval.

    Args:
        value: In its own terms, such as an accuracy in 0..1.
        low: The lower end of the interval: nan where there is none, infinite where n is
            too small for any.
        high: The upper end.
        n: The number of values, of pairs, or of values in the smaller of two samples.
        p: The two-sided p-value of the test to which the interval belongs; nan if there
            is none.
        unit: The unit in which the values are written.
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
        """True if all parts are equal. Here nan equals nan, which it does not in dataclasses of
        Python 3.13.
        """
        return isinstance(other, Estimate) and repr(self) == repr(other)

    def __neg__(self) -> "Estimate":
        return replace(self, value=-self.value, low=-self.high, high=-self.low)

    def complement(self) -> "Estimate":
        """The probability of the contrary."""
        return replace(self, value=1 - self.value, low=1 - self.high, high=1 - self.low)

    def __str__(self) -> str:
        return format(self, "")

    def __format__(self, spec: str) -> str:
        """``97.01 [96.46, 97.57]``; with "+" in ``spec`` signed, with "u" with the
        unit: ``0.29 points [0.24, 0.34]``.

        Shares are ``80 % [49–94 %]``. Without an interval the value stands alone.
        """
        name = self.unit.name if "u" in spec or self.unit == SHARE else ""
        return f"{number(self.value, self.unit, '+' in spec)}{name} {self.interval(spec)}".rstrip()

    def interval(self, spec: str = "") -> str:
        """``[96.46, 97.57]`` or, of shares, ``[49–94 %]``; empty where there is none."""
        if not isfinite(self.low + self.high):
            return ""
        if self.unit == SHARE:
            return f"[{number_range([self.low, self.high], SHARE)} %]"
        low, high = [number(end, self.unit, "+" in spec) for end in (self.low, self.high)]
        return f"[{low}, {high}]"


# The value of a table's cell; several numbers are a range.
Value = Estimate | float | str | tuple[float, ...] | None


def number_range(values: Sequence[float], unit: Unit = RATIO) -> str:
    """The first and the last value: ``95.61–97.02``, or one number if both are written alike."""
    return DASH.join(dict.fromkeys(number(value, unit) for value in values))


def cell(value: Value, unit: Unit = RATIO, signed: bool = False) -> str:
    """Any value as a table's cell; an estimate is written in its own unit, and a share
    with its %.
    """
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    if isinstance(value, Estimate):
        return format(value, "+" if signed else "")
    text = number_range(value, unit) if isinstance(value, tuple) else number(value, unit, signed)
    has_unit = unit.name == " %" and text != NOTHING
    return text + unit.name if has_unit else text


def p_text(p: float) -> str:
    """A p-value in a sentence: ``p = 0.03``."""
    return f"p {number(p, P_VALUE)}" if p < LEAST_P else f"p = {number(p, P_VALUE)}"


def share(count: int, total: int) -> Estimate:
    """A proportion with Wilson's 95 % interval."""
    if not 0 <= count <= total or total == 0:
        raise ValueError(f"{count} of {total} is not a proportion")
    return Estimate(count / total, *wilson(count / total, total), n=total, unit=SHARE)


def wilson(proportion: float, trials: float) -> tuple[float, float]:
    """Wilson's 95 % interval; the number of trials need not be whole (E. B. Wilson,
    JASA 22, 1927).
    """
    centre = proportion + QUANTILE**2 / (2 * trials)
    variance = proportion * (1 - proportion) / trials + (QUANTILE / (2 * trials)) ** 2
    margin = QUANTILE * variance**0.5
    width = 1 + QUANTILE**2 / trials
    return max(0.0, (centre - margin) / width), min(1.0, (centre + margin) / width)

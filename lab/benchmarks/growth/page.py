"""The table of how cost grows: a line for all that is measured, with its exponent."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from scipy.stats import linregress

from convblocks.figures.estimates import DASH, NOTHING, Estimate
from convblocks.figures.tables import Table
from convblocks.text import listed
from lab.benchmarks.growth.sizes import BATCH_SIZE
from lab.benchmarks.pages import Page
from lab.benchmarks.rows import Labels, Results, ratio

FASTER = "faster"


@dataclass(frozen=True)
class Quantity:
    """How a quantity is shown.

    Args:
        name: Of what grows.
        cost: What it costs.
        unit: Of the cost.
        scale: Of the cost, from seconds.
        judged: Whether the cost may be proportional to the size.
    """

    name: str
    cost: str
    unit: str = "ms"
    scale: float = 1e3
    judged: bool = True


QUANTITIES = {
    "images": Quantity("images", "", "s", 1),
    "classes": Quantity("classes", "step"),
    "parameters": Quantity("parameters", "step"),
    "batch": Quantity("images per batch", "step"),
    "runs": Quantity("runs of a comparison", "", "s", 1),
    "trials": Quantity("earlier trials of a search", ""),
    "processes": Quantity("processes", "step", judged=False),
}


def exponent(sizes: Sequence[int], costs: Sequence[Sequence[float]]) -> Estimate:
    """The exponent of cost ~ size^exponent.

    Of each round it is the slope of the straight line, by least squares, of the cost's
    logarithm over the size's. The estimate is the median of the rounds' slopes, with
    the interval of ``rows.ratio``: between two of them, whatever their distribution.

    Args:
        sizes: Two or more.
        costs: At each size, one for each round.
    """
    rounds = zip(*costs, strict=True)
    return ratio([float(linregress(np.log(sizes), np.log(costs)).slope) for costs in rounds])


def verdict(measured: Estimate) -> str:
    """Whether a cost grows as its size does."""
    if not isfinite(measured.low + measured.high):
        return "undecided"
    if measured.low > 1:
        return FASTER
    return "slower" if measured.high < 1 else "proportional"


def exponent_at_end(results: Results, quantity: str, series: str) -> Estimate:
    """Of the last two sizes alone: a fixed cost hides how smaller ones grow."""
    own: Labels = {"quantity": quantity, "series": series}
    sizes = results.numbers("size", **own)[-2:]
    return exponent(sizes, [results.by_round("seconds", **own, size=size) for size in sizes])


def costs_table(results: Results) -> Table:
    """What grows with what: the cost at the least and the largest size, and how it grows."""
    cpus = int(results.settings["cpus"] or 1)
    rows = []
    for quantity, shown in QUANTITIES.items():
        sizes = results.numbers("size", quantity=quantity)
        simulated = " (SIMULATED)" * (quantity == "processes" and sizes[-1] > cpus)
        for series in sorted(results.different("series", quantity=quantity)):
            seconds = [
                results.median("seconds", quantity=quantity, series=series, size=size)
                for size in (sizes[0], sizes[-1])
            ]
            costs = [number(shown.scale * cost) for cost in seconds]
            last = exponent_at_end(results, quantity, series)
            rows.append(
                [
                    f"{series} {shown.cost}".rstrip(),
                    shown.name,
                    f"{sizes[0]:,}{DASH}{sizes[-1]:,}{simulated}",
                    f"{DASH.join(costs)} {shown.unit}",
                    str(last),
                    verdict(last) if shown.judged else NOTHING,
                ]
            )
    return Table("", ["cost of", "by", "sizes", "cost", "exponent", "grows"], rows)


def number(value: float) -> str:
    """To three digits, or to whole ones."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def texts(results: Results) -> dict[str, object]:
    found = []
    for quantity in results.different("quantity"):
        for series in sorted(results.different("series", quantity=quantity)):
            last = exponent_at_end(results, quantity, series)
            if verdict(last) == FASTER:
                found.append(f"{series} by {QUANTITIES[quantity].name} ({last})")
    return {"batch_size": BATCH_SIZE, "faster": listed(found) or "none"}


PAGE = Page(Path(__file__).with_name("growth.md"), {"costs": costs_table}, texts)

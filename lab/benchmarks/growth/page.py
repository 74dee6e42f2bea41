"""The tables of how cost grows: a line for all that is measured, a column for each size, and the exponents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path

import numpy as np
from scipy.stats import linregress

from convblocks.figures.estimates import Estimate
from convblocks.figures.tables import Table
from convblocks.text import listed
from lab.benchmarks.growth.sizes import BATCH_SIZE
from lab.benchmarks.pages import Page
from lab.benchmarks.rows import Results, ratio

FASTER = "faster than proportional"


@dataclass(frozen=True)
class Quantity:
    """How a quantity is shown.

    Args:
        name: Of what grows.
        shown: What a cell holds: the cost, and in brackets the cost of one unit.
        scale: Of the cost, from seconds.
        each: From size and seconds to the number in brackets.
        judged: Whether the cost may be proportional to the size.
    """

    name: str
    shown: str
    scale: float
    each: Callable[[int, float], float]
    judged: bool = True


def of_unit(scale: float) -> Callable[[int, float], float]:
    return lambda size, seconds: scale * seconds / size


QUANTITIES = {
    "images": Quantity("images", "seconds (µs an image)", 1, of_unit(1e6)),
    "classes": Quantity("classes", "ms a training step (µs a class)", 1e3, of_unit(1e6)),
    "parameters": Quantity("parameters", "ms a training step (ns a parameter)", 1e3, of_unit(1e9)),
    "batch": Quantity(
        "images of a batch", "ms a training step (images a second)", 1e3, lambda size, seconds: size / seconds
    ),
    "runs": Quantity("runs of a comparison", "seconds (ms a run)", 1, of_unit(1e3)),
    "trials": Quantity("earlier trials of a search", "ms (µs an earlier trial)", 1e3, of_unit(1e6)),
    "processes": Quantity(
        "processes",
        "ms a training step (images a second)",
        1e3,
        lambda size, seconds: BATCH_SIZE / seconds,
        judged=False,
    ),
}


def exponent(sizes: Sequence[int], costs: Sequence[Sequence[float]]) -> Estimate:
    """The exponent of cost ~ size^exponent.

    Of each round it is the slope of the straight line, by least squares, of the cost's logarithm over the size's. The
    estimate is the median of the rounds' slopes, with the interval of ``rows.ratio``: between two of them, whatever
    their distribution.

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
    return "slower than proportional" if measured.high < 1 else "proportional"


def exponents(results: Results, quantity: str, series: str) -> tuple[Estimate, Estimate]:
    """Over all sizes, and over the last two alone."""
    sizes = results.numbers("size", quantity=quantity, series=series)
    costs = [results.by_round("seconds", quantity=quantity, series=series, size=size) for size in sizes]
    return exponent(sizes, costs), exponent(sizes[-2:], costs[-2:])


def table(quantity: str, results: Results) -> Table:
    """The cost at each size, and how it grows."""
    shown, cpus = QUANTITIES[quantity], int(results.settings["cpus"] or 1)
    sizes = results.numbers("size", quantity=quantity)
    rows = []
    for series in sorted(results.different("series", quantity=quantity)):
        cells = []
        for size in sizes:
            seconds = results.median("seconds", quantity=quantity, series=series, size=size)
            cells.append(f"{number(shown.scale * seconds)} ({number(shown.each(size, seconds))})")
        overall, last = exponents(results, quantity, series)
        rows.append([series, *cells, str(overall), str(last), *([verdict(last)] if shown.judged else [])])
    simulated = [quantity == "processes" and size > cpus for size in sizes]
    heads = [f"{size:,}{' (SIMULATED)' if more else ''}" for size, more in zip(sizes, simulated, strict=True)]
    columns = ["", *heads, "exponent", "at the end", *(["which is"] if shown.judged else [])]
    return Table(f"By {shown.name}: {shown.shown}", columns, rows)


def number(value: float) -> str:
    """To three digits, or to whole ones."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def texts(results: Results) -> dict[str, object]:
    found = [
        f"{series} by {QUANTITIES[quantity].name} ({last})"
        for quantity in results.different("quantity")
        for series in sorted(results.different("series", quantity=quantity))
        for last in [exponents(results, quantity, series)[1]]
        if verdict(last) == FASTER
    ]
    return {"batch_size": BATCH_SIZE, "faster": listed(found) or "none"}


PAGE = Page(Path(__file__).with_name("growth.md"), {name: partial(table, name) for name in QUANTITIES}, texts)

"""The table of how cost grows: a line for all that is measured, with its exponent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from convblocks.figures.estimates import DASH, NOTHING, Estimate
from convblocks.figures.tables import Table
from convblocks.text import listed
from lab.benchmarks.growth.sizes import BATCH_SIZE
from lab.benchmarks.rows import Results, ratio
from lab.pages.writing import Block, origin

FASTER = "faster"

# An exponent nearer to 1 than this is proportional for all purposes: of ten times the
# size it makes less than 1.3 times the cost.
MARGIN = 0.1


@dataclass(frozen=True)
class Quantity:
    """How a quantity is shown.

    Args:
        name: Of what grows.
        cost: What it costs.
        unit: Of the cost.
        scale: Of the cost, from seconds.
    """

    name: str
    cost: str
    unit: str = "ms"
    scale: float = 1e3


QUANTITIES = {
    "images": Quantity("images", "", "s", 1),
    "classes": Quantity("classes", "step"),
    "parameters": Quantity("parameters", "step"),
    "batch": Quantity("images per batch", "step"),
    "runs": Quantity("runs of a comparison", "", "s", 1),
    "trials": Quantity("earlier trials of a search", ""),
    "processes": Quantity("processes", "step"),
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
    return ratio(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def verdict(measured: Estimate) -> str:
    """Whether a cost grows as its size does, by the whole interval."""
    if measured.low >= 1 - MARGIN and measured.high <= 1 + MARGIN:
        return "proportional"
    if measured.low > 1:
        return FASTER
    return "slower" if measured.high < 1 else "undecided"


def quantities(results: Results) -> Iterator[tuple[str, str, list[int]]]:
    """All that was measured: what grew, what that costs, and its sizes."""
    for quantity in QUANTITIES:
        for series in sorted(results.different("series", quantity=quantity)):
            sizes = results.different("size", quantity=quantity, series=series)
            yield quantity, series, sorted(sizes)


def exponent_at_end(results: Results, quantity: str, series: str, sizes: list[int]) -> Estimate:
    """Of the last two sizes alone: a fixed cost hides how smaller ones grow."""
    last = sizes[-2:]
    costs = [
        results.values("seconds", quantity=quantity, series=series, size=size) for size in last
    ]
    return exponent(last, costs)


def costs_table(results: Results) -> Table:
    """What grows with what: the cost at the least and the largest size, and how it grows."""
    rows = []
    for quantity, series, sizes in quantities(results):
        shown = QUANTITIES[quantity]
        least, most = sizes[0], sizes[-1]
        are_processes = quantity == "processes"  # whose cost may grow: they share the CPUs
        is_simulated = are_processes and most > results.settings["cpus"]
        costs = [
            results.median("seconds", quantity=quantity, series=series, size=size)
            for size in (least, most)
        ]
        last = exponent_at_end(results, quantity, series, sizes)
        rows.append(
            [
                f"{series} {shown.cost}".rstrip(),
                shown.name,
                f"{least:,}{DASH}{most:,}{' (SIMULATED)' * is_simulated}",
                f"{DASH.join(number(shown.scale * cost) for cost in costs)} {shown.unit}",
                str(last),
                NOTHING if are_processes else verdict(last),
            ]
        )
    return Table("", ["cost of", "by", "sizes", "cost", "exponent", "grows"], rows)


def number(value: float) -> str:
    """To three digits, or to whole ones."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def blocks(results: Results) -> list[Block]:
    """The page."""
    found = []
    for quantity, series, sizes in quantities(results):
        last = exponent_at_end(results, quantity, series, sizes)
        if verdict(last) == FASTER:
            found.append(f"{series} by {QUANTITIES[quantity].name} ({last})")
    settings = results.settings
    return [
        "# How cost grows",
        f"""
        At the largest sizes these costs grow faster than in proportion:
        {listed(found) or "none"}.
        """,
        origin(__package__, "growth", results, f"{settings['threads']} threads"),
        [costs_table(results)],
        f"""
        Costs are medians of n = {results.rounds} rounds at the smallest and the largest
        size. The exponent fits cost ~ size^exponent to the last two sizes: with 1,
        twice the size costs twice as much, with 2 four times. Growth is proportional if
        the whole 95 % interval lies from {1 - MARGIN:g} to {1 + MARGIN:g}, else slower
        or faster if all of it is below or above 1, and otherwise undecided.
        [README.md](README.md) says how rounds are measured.
        """,
        f"""
        - `fit` trains with everything on, at batch size {BATCH_SIZE}, the MLP where no other
          network is named; `bare` is a plain loop of torch. More parameters are more hidden units
          of the MLP.
        - An epoch is one on noise, with an evaluation on a sixth as many images. At its start `fit`
          finds the images' MD5, mean and standard deviation.
        - The next trial is found by TPE in the default space of `search`.
        - Processes have one thread and share batches of {BATCH_SIZE} images. More of them than the
          {settings["cpus"]} CPUs take turns, which only shows what messages and waiting cost.
        """,
    ]

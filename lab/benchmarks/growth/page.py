"""The table of how cost grows: a line for all that is measured, with its exponent."""

from collections.abc import Iterator
from statistics import median

import numpy as np

from convblocks.compare.statistics import Numbers
from convblocks.figures.estimates import DASH, NOTHING, Estimate
from convblocks.figures.tables import Table
from convblocks.text import listed
from lab.benchmarks.rows import Results, ratio
from lab.benchmarks.training.ways import BATCH_SIZE
from lab.pages.writing import Block, origin, table

FASTER = "faster"

# An exponent nearer to 1 than this is proportional for all purposes: of ten times the
# size it makes less than 1.3 times the cost.
MARGIN = 0.1


# What grows, in the order of the table, and how the page calls it.
QUANTITIES = {
    "images": "images",
    "classes": "classes",
    "parameters": "parameters",
    "batch": "images per batch",
    "runs": "runs of a comparison",
    "trials": "earlier trials of a search",
    "processes": "processes",
}

# Those of which a training step is measured, and those whose costs are shown in seconds.
OF_STEPS = ("classes", "parameters", "batch", "processes")
IN_SECONDS = ("images", "runs")

# At each size, from the smallest on: seconds, one for each round.
Costs = dict[int, Numbers]


def exponent(costs: Costs) -> Estimate:
    """The exponent of cost ~ size^exponent, of the last two sizes alone: a fixed cost
    hides how smaller ones grow.

    Of each round it is the slope of the straight line, by least squares, of the cost's
    logarithm over the size's. The estimate is the median of the rounds' slopes, with
    the interval of ``rows.ratio``: between two of them, whatever their distribution.
    """
    last = [*costs][-2:]
    seconds = [costs[size] for size in last]
    return ratio(np.polyfit(np.log(last), np.log(seconds), 1)[0])


def verdict(measured: Estimate) -> str:
    """Whether a cost grows as its size does, by the whole interval."""
    if measured.low >= 1 - MARGIN and measured.high <= 1 + MARGIN:
        return "proportional"
    if measured.low > 1:
        return FASTER
    return "slower" if measured.high < 1 else "undecided"


def grows(quantity: str, measured: Estimate) -> str:
    """The verdict; none on processes, whose cost may grow: they share the CPUs."""
    return NOTHING if quantity == "processes" else verdict(measured)


def named(quantity: str, series: str) -> str:
    """What costs."""
    return f"{series} step" if quantity in OF_STEPS else series


def quantities(results: Results) -> Iterator[tuple[str, str, Costs]]:
    """All that was measured: what grew, what was done, and what that costs."""
    for quantity in QUANTITIES:
        for series in sorted(results.different("series", quantity=quantity)):
            own = {"quantity": quantity, "series": series}
            sizes = sorted(results.different("size", **own))
            costs = {size: results.values("seconds", **own, size=size) for size in sizes}
            yield quantity, series, costs


def costs_table(results: Results) -> Table:
    """What grows with what: the cost at the least and the largest size, and how it grows."""
    rows = []
    for quantity, series, costs in quantities(results):
        least, *_, most = costs
        sizes = f"{least:,}{DASH}{most:,}"
        if quantity == "processes" and most > results.settings["cpus"]:
            sizes += " (SIMULATED)"
        unit, scale = ("s", 1) if quantity in IN_SECONDS else ("ms", 1000)
        first, last = (number(scale * median(costs[size])) for size in (least, most))
        measured = exponent(costs)
        rows.append(
            {
                "cost of": named(quantity, series),
                "by": QUANTITIES[quantity],
                "sizes": sizes,
                "cost": f"{first}{DASH}{last} {unit}",
                "exponent": str(measured),
                "grows": grows(quantity, measured),
            }
        )
    return table("", rows)


def number(value: float) -> str:
    """To three digits, or to whole ones."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def blocks(results: Results) -> list[Block]:
    """The page."""
    found = []
    for quantity, series, costs in quantities(results):
        measured = exponent(costs)
        if grows(quantity, measured) == FASTER:
            found.append(f"{named(quantity, series)} by {QUANTITIES[quantity]} ({measured})")
    settings = results.settings
    return [
        "# How cost grows",
        f"""
        At the largest sizes these costs were found to grow faster than in proportion:
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

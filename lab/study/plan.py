"""The runs of the study, as pure functions of the finished ones, so that a stopped
study carries on unchanged.
"""

from collections.abc import Collection, Mapping
from itertools import product
from typing import NamedTuple

from convblocks.record.result import Overrides

SCHEDULES = ("constant", "onecycle")

# Three steps a decade. The first grid is the middle; the rest is for a best value at the edge.
RATES = (
    "1e-6",
    "3e-6",
    "1e-5",
    "3e-5",
    "1e-4",
    "3e-4",
    "1e-3",
    "3e-3",
    "1e-2",
    "3e-2",
    "1e-1",
    "3e-1",
    "1",
)
FIRST_RATES = RATES[4:10]

# A cell's seeds in the first grid, and the further seeds of the best cells.
SEEDS = (100, 101)
MORE_SEEDS = (102, 103, 104)
FINALISTS = 2

# Training images that are held out, to choose settings.
HELD_OUT = 5000

CONFIRMING_SEEDS = tuple(range(1000, 1012))


class Cell(NamedTuple):
    """A point of the grid."""

    lr: str
    lr_scheduler: str

    @property
    def overrides(self) -> Overrides:
        return (("lr", self.lr), ("lr_scheduler", self.lr_scheduler))


NOTEBOOK = Cell("1e-2", "constant")

# Of one network: the validation accuracy of a cell's run with that seed.
Scores = Mapping[tuple[Cell, int], float]


def to_choose(scores: Scores) -> list[tuple[Cell, int]]:
    """The runs that the choice of a network's setting takes, as far as the finished
    ones determine them.

    They are the first grid, a step more if the best cell lies at its edge, and further
    seeds for the best two cells.
    """
    cells = [Cell(rate, schedule) for rate in FIRST_RATES for schedule in SCHEDULES]
    finalists: list[Cell] = []
    while not finalists and all(run in scores for run in product(cells, SEEDS)):
        ranked = sorted(cells, key=lambda cell: -_mean(cell, SEEDS, scores))
        beyond = _beyond(ranked[0], cells)
        if beyond:
            cells.append(beyond)
        else:
            finalists = ranked[:FINALISTS]
    return [*product(cells, SEEDS), *product(finalists, MORE_SEEDS)]


def chosen(scores: Scores) -> Cell | None:
    """The finalist with the highest mean over all its seeds; None before all runs of
    the choice are done.
    """
    runs = to_choose(scores)
    if any(run not in scores for run in runs):
        return None
    finalists = [cell for cell, seed in runs if seed == MORE_SEEDS[0]]
    return max(finalists, key=lambda cell: _mean(cell, SEEDS + MORE_SEEDS, scores))


def _mean(cell: Cell, seeds: tuple[int, ...], scores: Scores) -> float:
    """Collapsed runs count with their accuracy."""
    return sum(scores[cell, seed] for seed in seeds) / len(seeds)


def _beyond(best: Cell, cells: Collection[Cell]) -> Cell | None:
    """The cell beyond the best one, if that has the smallest or largest rate of its schedule."""
    position = RATES.index(best.lr)
    rates = RATES[max(position - 1, 0) : position + 2]
    beside = [best._replace(lr=rate) for rate in rates]
    return next((cell for cell in beside if cell not in cells), None)

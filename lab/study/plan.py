"""The runs of the study, as pure functions of the finished ones, so that a stopped
study carries on unchanged.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from convblocks.run.result import Overrides

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
    while _are_done(cells, scores):
        best = max(cells, key=lambda cell: _mean(cell, SEEDS, scores))
        beyond = _beyond(best, cells)
        if beyond is None:
            break
        cells.append(beyond)
    further = [(cell, seed) for cell in finalists(cells, scores) for seed in MORE_SEEDS]
    return [(cell, seed) for cell in cells for seed in SEEDS] + further


def finalists(cells: Iterable[Cell], scores: Scores) -> list[Cell]:
    """The best cells of a grid after its first seeds; none before all of these are done."""
    cells = list(cells)
    if not _are_done(cells, scores):
        return []
    return sorted(cells, key=lambda cell: -_mean(cell, SEEDS, scores))[:FINALISTS]


def chosen(scores: Scores) -> Cell | None:
    """The finalist with the highest mean over all its seeds; None before all runs of
    the choice are done.
    """
    runs = to_choose(scores)
    if any(run not in scores for run in runs):
        return None
    cells = dict.fromkeys(cell for cell, _ in runs)
    seeds = SEEDS + MORE_SEEDS
    return max(finalists(cells, scores), key=lambda cell: _mean(cell, seeds, scores))


def _are_done(cells: Iterable[Cell], scores: Scores) -> bool:
    """After the first seeds."""
    return all((cell, seed) in scores for cell in cells for seed in SEEDS)


def _mean(cell: Cell, seeds: tuple[int, ...], scores: Scores) -> float:
    """Collapsed runs count with their accuracy."""
    return sum(scores[cell, seed] for seed in seeds) / len(seeds)


def _beyond(best: Cell, cells: Iterable[Cell]) -> Cell | None:
    """The cell beyond the best one, if that has the smallest or largest rate of its schedule."""
    schedule = best.lr_scheduler
    positions = [RATES.index(cell.lr) for cell in cells if cell.lr_scheduler == schedule]
    position = RATES.index(best.lr)
    if position == min(positions):
        beyond = position - 1
    elif position == max(positions):
        beyond = position + 1
    else:
        return None
    if not 0 <= beyond < len(RATES):
        return None
    return Cell(RATES[beyond], best.lr_scheduler)

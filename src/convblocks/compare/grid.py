"""The analysis of a comparison: of a grid, each setting, and each network's best one."""

from collections.abc import Sequence
from dataclasses import dataclass

from convblocks.compare.analysis import Comparison, compare, mean_validation
from convblocks.compare.results import by_overrides, is_number
from convblocks.figures.grouping import by_arch
from convblocks.run.result import Overrides, RunResult


@dataclass(frozen=True)
class Analysis:
    """The analysis of a comparison's runs.

    ``main`` compares the networks at the only setting, or each at its own best; without validation images nothing may
    be chosen from a grid, and it is None. ``at_settings`` and ``edges`` are of a grid: each of its settings, and where
    a network's best value is the smallest or largest. ``swept`` has the values of each of its options, numbers in
    ascending order; ``confirmed`` are the runs with fresh seeds.
    """

    results: tuple[RunResult, ...]
    swept: dict[str, tuple[str, ...]]
    main: Comparison | None
    at_settings: tuple[Comparison, ...] = ()
    edges: tuple[str, ...] = ()
    confirmed: tuple[RunResult, ...] = ()


def analyse(results: Sequence[RunResult], confirmed: Sequence[RunResult] = ()) -> Analysis:
    """Analyse the runs of one comparison; ``confirmed`` are those with fresh seeds at the settings that it chose."""
    cells = by_overrides(results)
    if len(cells) == 1:
        return Analysis(tuple(results), {}, compare(results))
    swept = _swept(list(cells))
    best = best_settings(results)
    return Analysis(
        results=tuple(results),
        swept=swept,
        main=compare(confirmed or best) if best else None,
        at_settings=tuple(map(compare, cells.values())),
        edges=tuple(edge for runs in by_arch(best).values() for edge in _edges(runs[0], swept)),
        confirmed=tuple(confirmed),
    )


def best_settings(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs at each network's setting with the best mean score on validation data; none without such data."""
    if any(run.validation is None for run in results):
        return []

    def score(runs: list[RunResult]) -> tuple[float, Overrides]:
        return runs[0].judge.sign * (mean_validation(runs) or 0.0), runs[0].overrides

    best = [max(by_overrides(runs).values(), key=score) for runs in by_arch(results).values()]
    return [result for runs in best for result in runs]


def _swept(cells: Sequence[Overrides]) -> dict[str, tuple[str, ...]]:
    """The options with several values."""
    values = {option: list(dict.fromkeys(dict(cell)[option] for cell in cells)) for option, _ in cells[0]}
    return {
        option: tuple(sorted(found, key=float) if all(map(is_number, found)) else found)
        for option, found in values.items()
        if len(found) > 1
    }


def _edges(best: RunResult, swept: dict[str, tuple[str, ...]]) -> list[str]:
    """``maxpool (lr 1e-3, look below)`` for each option with its best value at an edge; only numbers have edges."""
    edges = []
    for option, values in swept.items():
        value = dict(best.overrides)[option]
        if all(map(is_number, values)) and value in (values[0], values[-1]):
            edges.append(f"{best.arch} ({option} {value}, look {'below' if value == values[0] else 'above'})")
    return edges

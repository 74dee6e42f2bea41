"""The analysis of a comparison: of a grid, each setting, and each network's best one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from convblocks.compare.analysis import Comparison, compare, mean_validation
from convblocks.compare.results import by_overrides, is_number
from convblocks.compare.trials import settings_name
from convblocks.figures.grouping import by_arch
from convblocks.run.result import Overrides, RunResult


@dataclass(frozen=True)
class Edge:
    """A network whose best value of a swept option is the smallest or largest of the grid."""

    arch: str
    option: str
    value: str
    beyond: Literal["below", "above"]


@dataclass(frozen=True)
class Analysis:
    """The analysis of a comparison's runs.

    ``main`` compares the networks at the only setting, or each at its own best; without validation images nothing may
    be chosen from a grid, and it is None. ``at_settings`` and ``edges`` are of a grid; ``swept`` has the values of
    each of its options, numbers in ascending order; ``confirmed`` are the runs with fresh seeds.
    """

    results: tuple[RunResult, ...]
    swept: dict[str, tuple[str, ...]]
    main: Comparison | None
    at_settings: dict[Overrides, Comparison]
    edges: tuple[Edge, ...] = ()
    confirmed: tuple[RunResult, ...] = ()


def analyse(results: Sequence[RunResult], confirmed: Sequence[RunResult] = ()) -> Analysis:
    """Analyse the runs of one comparison; ``confirmed`` are those with fresh seeds at the settings that it chose."""
    cells = by_overrides(results)
    if len(cells) == 1:
        return Analysis(tuple(results), {}, compare(results), {})
    swept = _swept(list(cells))
    best = best_settings(results)
    return Analysis(
        results=tuple(results),
        swept=swept,
        main=compare(confirmed or best) if best else None,
        at_settings={overrides: compare(here) for overrides, here in cells.items()},
        edges=tuple(edge for own in by_arch(best).values() for edge in _edges(own[0], swept)),
        confirmed=tuple(confirmed),
    )


def best_settings(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs at each network's setting with the best mean score on validation data; none without such data."""
    if any(one.validation is None for one in results):
        return []

    def score(runs: list[RunResult]) -> tuple[float, Overrides]:
        return runs[0].judge.sign * (mean_validation(runs) or 0.0), runs[0].overrides

    best = [max(by_overrides(own).values(), key=score) for own in by_arch(results).values()]
    return [result for runs in best for result in runs]


def as_numbers(analysis: Analysis) -> dict[str, Any]:
    """All numbers except times, which differ between machines and days."""
    at_settings = analysis.at_settings.items()
    return {
        "comparison": analysis.main and _numbers(analysis.main),
        "settings": {settings_name(overrides): _numbers(comparison) for overrides, comparison in at_settings},
    }


def _numbers(comparison: Comparison) -> Any:
    return _timeless(msgspec.to_builtins(replace(comparison, results=())))


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if key not in ("seconds", "results", "unit")}
        return {key: _timeless(one) for key, one in kept.items()}
    if isinstance(value, list | tuple):
        return [_timeless(one) for one in value if not _is_of_time(one)]
    return value


def _is_of_time(value: Any) -> bool:
    return isinstance(value, dict) and value.get("measure") == "seconds_to_goal"


def _swept(cells: Sequence[Overrides]) -> dict[str, tuple[str, ...]]:
    """The options with several values."""
    values = {option: list(dict.fromkeys(dict(cell)[option] for cell in cells)) for option, _ in cells[0]}
    return {
        option: tuple(sorted(own, key=float) if all(map(is_number, own)) else own)
        for option, own in values.items()
        if len(own) > 1
    }


def _edges(result: RunResult, swept: dict[str, tuple[str, ...]]) -> list[Edge]:
    """The options of which a network's best value is at the edge of the grid; only numbers have edges."""
    edges = []
    for option, values in swept.items():
        value = dict(result.overrides)[option]
        if all(map(is_number, values)) and value in (values[0], values[-1]):
            edges.append(Edge(result.arch, option, value, "below" if value == values[0] else "above"))
    return edges

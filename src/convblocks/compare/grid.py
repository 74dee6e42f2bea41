"""The analysis of a comparison: of a grid, each setting, and each network's best one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any, Literal

import msgspec

from convblocks.compare.analysis import Comparison, compare, mean_validation, unit_of
from convblocks.compare.results import by_overrides, is_number
from convblocks.compare.statistics import sign_flip_test
from convblocks.figures.estimates import Estimate
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
class Pair:
    """Two settings of one network, first minus second in score, over the seeds with which it trained at both."""

    arch: str
    first: Overrides
    second: Overrides
    trained: tuple[str, ...]
    difference: Estimate | None


@dataclass(frozen=True)
class Analysis:
    """The analysis of a comparison's runs.

    ``main`` compares the networks at the only setting, or each at its own best; without validation images nothing may
    be chosen from a grid, and it is None. ``at_settings``, ``edges`` and ``pairs`` are of a grid; ``swept`` has the
    values of each of its options, numbers in ascending order; ``confirmed`` are the runs with fresh seeds.
    """

    results: tuple[RunResult, ...]
    swept: dict[str, tuple[str, ...]]
    main: Comparison | None
    at_settings: dict[Overrides, Comparison]
    edges: tuple[Edge, ...] = ()
    pairs: tuple[Pair, ...] = ()
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
        pairs=tuple(pair for own in by_arch(results).values() for pair in _pairs(by_overrides(own), swept)),
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
        "settings": {str(dict(overrides)): _numbers(comparison) for overrides, comparison in at_settings},
        "pairs": _timeless(msgspec.to_builtins(analysis.pairs)),
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


def _pairs(cells: dict[Overrides, list[RunResult]], swept: dict[str, tuple[str, ...]]) -> list[Pair]:
    """Neighbours in the grid: one option differs, by one step."""
    return [_pair(cells[one], cells[other]) for one, other in combinations(cells, 2) if _are_next(one, other, swept)]


def _are_next(one: Overrides, other: Overrides, swept: dict[str, tuple[str, ...]]) -> bool:
    changed = [option for option in swept if dict(one)[option] != dict(other)[option]]
    if len(changed) != 1:
        return False
    (option,) = changed
    return {dict(one)[option], dict(other)[option]} in [set(step) for step in pairwise(swept[option])]


def _pair(first: Sequence[RunResult], second: Sequence[RunResult]) -> Pair:
    trained = tuple(f"{sum(not one.failed for one in runs)}/{len(runs)}" for runs in (first, second))
    return Pair(first[0].arch, first[0].overrides, second[0].overrides, trained, paired_difference(first, second))


def paired_difference(first: Sequence[RunResult], second: Sequence[RunResult]) -> Estimate | None:
    """The difference in score of two settings of one network, paired by seed, over the pairs that trained.

    The same seed gives the same initial weights and order of images.
    """
    scores, others = ({one.seed: one.score for one in runs if not one.failed} for runs in (first, second))
    differences = [score - others[seed] for seed, score in scores.items() if seed in others]
    return sign_flip_test(differences, unit=unit_of([*first, *second], of_difference=True)) if differences else None

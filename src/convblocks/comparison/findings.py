"""All that a comparison has found: one comparison of the networks, and for a grid one at each of its settings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any, Literal

from convblocks.comparison.outcomes import RunResult, best_settings, by_arch, by_settings
from convblocks.comparison.statistics import Test, sign_flip_test
from convblocks.comparison.trials import Settings, is_number, settings_name
from convblocks.comparison.verdicts import Comparison, compare


@dataclass(frozen=True)
class Edge:
    """A network whose best value of a swept option is the grid's smallest or largest."""

    arch: str
    option: str
    value: str
    beyond: Literal["below", "above"]


@dataclass(frozen=True)
class Pair:
    """Two settings of one network, first minus second in accuracy, over the seeds with which it trained at both."""

    arch: str
    first: Settings
    second: Settings
    seeds: int
    result: Test | None


@dataclass(frozen=True)
class Analysis:
    """What finished runs tell.

    ``main`` compares the networks at the only setting, or each at its own best; without validation images nothing may
    be chosen from a grid, and it is None. ``at_settings``, ``edges`` and ``pairs`` are of a grid; ``swept`` has the
    values of each of its options, numbers in their order.
    """

    outcomes: tuple[RunResult, ...]
    swept: dict[str, tuple[str, ...]]
    main: Comparison | None
    at_settings: dict[Settings, Comparison]
    edges: tuple[Edge, ...] = ()
    pairs: tuple[Pair, ...] = ()


def find(outcomes: Sequence[RunResult]) -> Analysis:
    """What these runs tell, of one comparison and the same images."""
    cells = by_settings(outcomes)
    if len(cells) == 1:
        return Analysis(tuple(outcomes), {}, compare(outcomes), {})
    swept = _swept(list(cells))
    best = best_settings(outcomes) if all(one.validation is not None for one in outcomes) else []
    return Analysis(
        outcomes=tuple(outcomes),
        swept=swept,
        main=compare(best) if best else None,
        at_settings={settings: compare(here) for settings, here in cells.items()},
        edges=tuple(edge for own in by_arch(best).values() for edge in _edges(own[0], swept)),
        pairs=tuple(pair for own in by_arch(outcomes).values() for pair in _pairs(by_settings(own), swept)),
    )


def compared(findings: Analysis) -> list[RunResult]:
    """The runs that the main comparison is made of; none where there is no such comparison."""
    rows = {(row.arch, row.settings) for row in findings.main.rows} if findings.main else set()
    return [one for one in findings.outcomes if (one.arch, one.settings) in rows]


def as_numbers(findings: Analysis) -> dict[str, Any]:
    """All numbers but those of time, which are another one's on every day: the same runs make the same numbers."""
    cells = {settings_name(settings): comparison for settings, comparison in findings.at_settings.items()}
    return {
        "comparison": _timeless(asdict(findings.main)) if findings.main else None,
        "settings": {name: _timeless(asdict(comparison)) for name, comparison in cells.items()},
        "edges": [asdict(edge) for edge in findings.edges],
        "pairs": [asdict(pair) for pair in findings.pairs],
    }


def _timeless(comparison: dict[str, Any]) -> dict[str, Any]:
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in comparison["rows"]]
    return comparison | {"rows": rows}


def _swept(cells: Sequence[Settings]) -> dict[str, tuple[str, ...]]:
    """The options of which there are several values, with these."""
    values = {option: list(dict.fromkeys(dict(cell)[option] for cell in cells)) for option, _ in cells[0]}
    return {
        option: tuple(sorted(own, key=float) if all(map(is_number, own)) else own)
        for option, own in values.items()
        if len(own) > 1
    }


def _edges(outcome: RunResult, swept: dict[str, tuple[str, ...]]) -> list[Edge]:
    """Where a network's best setting lies at the edge of the grid; values that are no numbers have no edge."""
    edges = []
    for option, values in swept.items():
        value = dict(outcome.settings)[option]
        if all(map(is_number, values)) and value in (values[0], values[-1]):
            edges.append(Edge(outcome.arch, option, value, "below" if value == values[0] else "above"))
    return edges


def _pairs(cells: dict[Settings, list[RunResult]], swept: dict[str, tuple[str, ...]]) -> list[Pair]:
    """Neighbours in the grid: one option differs, by one step."""
    return [_pair(cells[one], cells[other]) for one, other in combinations(cells, 2) if _are_next(one, other, swept)]


def _are_next(one: Settings, other: Settings, swept: dict[str, tuple[str, ...]]) -> bool:
    changed = [option for option in swept if dict(one)[option] != dict(other)[option]]
    if len(changed) != 1:
        return False
    (option,) = changed
    return {dict(one)[option], dict(other)[option]} in [set(step) for step in pairwise(swept[option])]


def _pair(first: Sequence[RunResult], second: Sequence[RunResult]) -> Pair:
    """Paired by seed: the same network begins at the same weights and sees the images in the same order."""
    accuracies = [{one.seed: one.accuracy for one in runs if not one.collapsed} for runs in (first, second)]
    seeds = [seed for seed in accuracies[0] if seed in accuracies[1]]
    differences = [accuracies[0][seed] - accuracies[1][seed] for seed in seeds]
    common = {one.seed for one in first} & {one.seed for one in second}
    result = sign_flip_test(differences) if differences else None
    return Pair(first[0].arch, first[0].settings, second[0].settings, len(common), result)

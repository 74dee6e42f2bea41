"""What the study's second stage decides: the networks at the notebook's setting and each at its own best one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convblocks.comparison import statistics
from convblocks.comparison.outcomes import RunResult, by_arch, grouped
from convblocks.comparison.statistics import SIGNIFICANCE, Test, mcnemar_p, two_way_interval
from convblocks.comparison.study.plan import NOTEBOOK, Cell
from convblocks.comparison.verdicts import Comparison, Difference, compare, difference, is_better, p_of

PRIMARY = ("maxpool", "batchnorm")

# A smaller difference of accuracies than this is none in practice.
EQUIVALENT = 0.001

# The power with which a larger study shall find a difference that is as large as the one seen.
POWER = 0.9

Decided = Literal["first is better", "second is better", "equivalent", "undecided"]


@dataclass(frozen=True)
class ByImage:
    """How two networks' answers differ, from runs of the same seeds on the same test images.

    ``only_first`` and ``only_second`` are how many images one network alone got right, means over ``pairs`` of runs; in
    ``told_apart`` of these McNemar's exact test sees a difference at 5 %. ``new_digits`` is the difference of
    accuracies as it would be with other seeds and on other images.
    """

    first: str
    second: str
    only_first: float
    only_second: float
    told_apart: int
    pairs: int
    new_digits: statistics.Difference


@dataclass(frozen=True)
class Decision:
    """The study's result.

    ``primary`` compares MaxPool with BatchNorm at their own best settings, None where one of them is missing;
    ``needed`` is the number of runs of each with which an undecided difference would be found, None where it is decided
    or no number would do.
    """

    at_notebooks: Comparison
    at_best: Comparison
    primary: Difference | None
    decided: Decided
    needed: int | None
    by_image: tuple[ByImage, ...]


def decide(outcomes: Sequence[RunResult], choices: Mapping[str, Cell]) -> Decision:
    """Judge finished runs of both settings; ``choices`` has each network's best one."""
    best = [one for one in outcomes if cell_of(one) == choices[one.arch]]
    runs = by_arch(best)
    first, second = (runs.get(arch, []) for arch in PRIMARY)
    primary = difference("accuracy", first, second) if first and second else None
    decided = judge(primary) if primary else "undecided"
    at_best = compare(best)
    undecided = primary is not None and decided == "undecided"
    return Decision(
        at_notebooks=compare(at_notebooks(outcomes)),
        at_best=at_best,
        primary=primary,
        decided=decided,
        needed=runs_needed(_trained(first), _trained(second)) if undecided else None,
        by_image=tuple(
            by_image(runs[first], runs[second])
            for first, second in combinations(sorted(runs, key=_place), 2)
            if all(one.mistakes is not None for one in runs[first] + runs[second])
        ),
    )


def at_notebooks(outcomes: Sequence[RunResult]) -> list[RunResult]:
    """The runs at the notebook's setting."""
    return [one for one in outcomes if cell_of(one) == NOTEBOOK]


def by_cell(outcomes: Sequence[RunResult]) -> dict[Cell, list[RunResult]]:
    """The runs at each point of the grid, of both stages; other options may differ."""
    return grouped(outcomes, cell_of)


def cell_of(outcome: RunResult) -> Cell:
    settings = dict(outcome.settings)
    return Cell(settings["lr"], settings["lr_scheduler"])


def judge(primary: Difference) -> Decided:
    """The verdict on the primary comparison, as docs/protocol.md has it: of ranks if any run collapsed, else of means.

    Of ranks alone no difference can be called small.
    """
    which: Literal["trained", "expected"] = "trained" if primary.runs == primary.trained_runs else "expected"
    if p_of(primary, which) < SIGNIFICANCE:
        return "first is better" if is_better(primary, which) else "second is better"
    result = primary.trained
    is_small = isinstance(result, Test) and result.low > -EQUIVALENT and result.high < EQUIVALENT
    return "equivalent" if which == "trained" and is_small else "undecided"


def runs_needed(first: Sequence[float], second: Sequence[float]) -> int | None:
    """With how many runs of each a difference of means like this one would be found at 5 % in nine studies of ten.

    By the normal approximation; None without a difference, or without two runs of each to see their spread.
    """
    if min(len(first), len(second)) < 2 or (distance := abs(np.mean(first) - np.mean(second))) == 0:
        return None
    variances = np.var(first, ddof=1) + np.var(second, ddof=1)
    deviates = stats.norm.ppf(1 - SIGNIFICANCE / 2) + stats.norm.ppf(POWER)
    return max(2, math.ceil(variances * (deviates / distance) ** 2))


def by_image(first: Sequence[RunResult], second: Sequence[RunResult]) -> ByImage:
    """Compare two networks' answers image by image; every run must tell its mistakes."""
    one, other = _right(first), _right(second)
    seeds = [
        {run.seed: row for run, row in zip(runs, rows, strict=True)} for runs, rows in ((first, one), (second, other))
    ]
    pairs = [(seeds[0][seed], seeds[1][seed]) for seed in seeds[0] if seed in seeds[1]]
    counts = [(int(np.sum(a & ~b)), int(np.sum(b & ~a))) for a, b in pairs]
    return ByImage(
        first=first[0].arch,
        second=second[0].arch,
        only_first=float(np.mean([count for count, _ in counts])) if counts else math.nan,
        only_second=float(np.mean([count for _, count in counts])) if counts else math.nan,
        told_apart=sum(mcnemar_p(*count) < SIGNIFICANCE for count in counts),
        pairs=len(pairs),
        new_digits=two_way_interval(one, other),
    )


def _trained(outcomes: Sequence[RunResult]) -> list[float]:
    return [one.accuracy for one in outcomes if not one.collapsed]


def _place(arch: str) -> int:
    return PRIMARY.index(arch) if arch in PRIMARY else len(PRIMARY)


def _right(outcomes: Sequence[RunResult]) -> NDArray[np.bool_]:
    """Which test images each run got right, of shape (runs, images)."""
    right = np.ones((len(outcomes), outcomes[0].images.test_images), dtype=np.bool_)
    for row, outcome in zip(right, outcomes, strict=True):
        row[list(outcome.mistakes or ())] = False
    return right

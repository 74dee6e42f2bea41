"""The result of the study's second stage: the networks at the notebook's setting, and
each at its own best one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from convblocks.compare.analysis import Comparison, compare, trained_scores
from convblocks.compare.means import runs_needed
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.figures.estimates import Estimate
from convblocks.figures.grouping import by_arch, grouped
from convblocks.record.result import RunResult
from lab.differences import Measured, Reading, measured, score_of
from lab.statistics import POWER, mistakes, sign_p, two_way_interval
from lab.study.plan import NOTEBOOK, Cell

PRIMARY = ("maxpool", "batchnorm")

# A smaller difference of accuracies does not matter in practice.
EQUIVALENT = 0.001

Ruling = Literal["first is better", "second is better", "equivalent", "undecided"]


@dataclass(frozen=True)
class ByImage:
    """The difference of two networks' answers, from runs with the same seeds on the
    same test images.

    ``only_first`` and ``only_second`` are the numbers of images that only one network
    gets right, means over ``pairs`` of runs; in ``significant`` of these McNemar's
    exact test finds a difference at 5 %. ``new_images`` is the difference of accuracies
    with an interval for other seeds and other images.
    """

    first: str
    second: str
    only_first: float
    only_second: float
    significant: int
    pairs: int
    new_images: Estimate


@dataclass(frozen=True)
class Decision:
    """The study's result.

    ``primary`` compares MaxPool with BatchNorm at their own best settings, None if one
    of them is missing; ``needed`` is the number of runs of each that would find an
    undecided difference of means: None if it is decided, if no number would do, or if
    ranks decide.
    """

    at_notebooks: Comparison
    at_best: Comparison
    primary: Measured | None
    ruling: Ruling
    needed: int | None
    by_image: tuple[ByImage, ...]

    @property
    def is_by_means(self) -> bool:
        """Whether all runs of the primary comparison trained, so that means decide;
        otherwise ranks do.
        """
        return self.primary is not None and self.primary.runs == self.primary.trained_runs


def decide(results: Sequence[RunResult], choices: Mapping[str, Cell]) -> Decision:
    """Judge finished runs of both settings; ``choices`` has each network's best one."""
    best = [one for one in results if cell_of(one) == choices[one.arch]]
    runs = by_arch(best)
    first, second = (runs.get(arch, []) for arch in PRIMARY)
    primary = None
    ruling: Ruling = "undecided"
    needed = None
    if first and second:
        primary = measured(score_of([*first, *second]), first, second)
        ruling = judge(primary)
        if primary.runs == primary.trained_runs and ruling == "undecided":
            needed = runs_needed(trained_scores(first), trained_scores(second), power=POWER)
    knows_images = all({"mistakes", "images"} <= one.facts.keys() for one in best)
    archs = sorted(runs, key=[*PRIMARY, *runs].index)
    pairs = [*combinations(archs, 2)] if knows_images else []
    return Decision(
        at_notebooks=compare(at_notebooks(results)),
        at_best=compare(best),
        primary=primary,
        ruling=ruling,
        needed=needed,
        by_image=tuple(by_image(runs[one], runs[other]) for one, other in pairs),
    )


def at_notebooks(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs at the notebook's setting."""
    return [one for one in results if cell_of(one) == NOTEBOOK]


def by_cell(results: Sequence[RunResult]) -> dict[Cell, list[RunResult]]:
    """The runs at each point of the grid, of both stages."""
    return grouped(results, cell_of)


def cell_of(result: RunResult) -> Cell:
    overrides = dict(result.overrides)
    return Cell(overrides["lr"], overrides["lr_scheduler"])


def judge(primary: Measured) -> Ruling:
    """The verdict on the primary comparison, by docs/lab/protocol.md: from ranks if any
    run collapsed, else from means.

    Ranks alone cannot show that a difference is small.
    """
    reading: Reading = "trained" if primary.runs == primary.trained_runs else "all"
    if primary.p(reading) < SIGNIFICANCE:
        return "first is better" if primary.is_better(reading) else "second is better"
    means = primary.means
    if reading == "trained" and means and is_equivalent(means):
        return "equivalent"
    return "undecided"


def is_equivalent(difference: Estimate) -> bool:
    """Whether the whole interval is of differences that do not matter."""
    return max(-difference.low, difference.high) < EQUIVALENT


def by_image(first: Sequence[RunResult], second: Sequence[RunResult]) -> ByImage:
    """Compare two networks' answers image by image; the mistakes of every run must be known."""
    one = {run.seed: ~mistakes(run) for run in first}
    other = {run.seed: ~mistakes(run) for run in second}
    pairs = [(one[seed], right) for seed, right in other.items() if seed in one]
    counts = [((a & ~b).sum(), (b & ~a).sum()) for a, b in pairs]
    only_first, only_second = np.mean(counts, axis=0)
    answers = [np.stack([*right.values()]) for right in (one, other)]
    return ByImage(
        first=first[0].arch,
        second=second[0].arch,
        only_first=float(only_first),
        only_second=float(only_second),
        significant=sum(sign_p(*count) < SIGNIFICANCE for count in counts),
        pairs=len(pairs),
        new_images=two_way_interval(*answers),
    )

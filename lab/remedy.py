"""Is Gradient Centralization a remedy? The analysis is that of docs/lab/protocol-cause.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from convblocks.compare.statistics import SIGNIFICANCE, holm, mean_interval
from convblocks.figures.estimates import POINTS, Estimate
from convblocks.figures.grouping import grouped
from convblocks.record.directory import DEAD
from convblocks.record.result import RunResult
from lab.cause import AS_IS, Runs, difference, is_more
from lab.mechanism import by_variant
from lab.results import collapses
from lab.statistics import after_holm, mcnemar_p
from lab.study.decision import EQUIVALENT

REMEDY = "gradient-centralization"

# With fewer collapsed runs as they are, no test could tell.
LEAST_COLLAPSES = 6

# Dead units of block 2 on 1,000 images.
DEAD_UNITS = f"{DEAD}relu2"

Verdict = Literal["it holds", "it does not hold", "undecided"]


@dataclass(frozen=True)
class Remedy:
    """What the registered rule looks at, after five epochs.

    ``collapse_p`` is McNemar's p, ``dead`` how much more of block 2 is dead as it is, both
    after Holm's correction over the two; ``medians`` are the shares of dead units as it is and
    with the remedy; ``gain`` is that of accuracy, where neither run of a seed collapsed.
    """

    collapsed: tuple[int, int]
    collapse_p: float
    dead: Estimate
    medians: tuple[float, float]
    gain: Estimate

    @property
    def prevents(self) -> bool:
        """Whether fewer runs collapse."""
        as_is, remedied = self.collapsed
        return remedied < as_is and self.collapse_p < SIGNIFICANCE

    @property
    def verdict(self) -> Verdict:
        """The protocol's."""
        as_is, remedied = self.medians
        spares = is_more(self.dead) and remedied <= as_is / 4
        if self.prevents and spares and self.gain.low > -EQUIVALENT:
            return "it holds"
        fails = not self.prevents and self.collapsed[0] >= LEAST_COLLAPSES
        if fails or self.gain.high < -EQUIVALENT:
            return "it does not hold"
        return "undecided"


def by_length(results: Sequence[RunResult]) -> dict[str, Runs]:
    """The runs of 300 steps and of five epochs by arm, each in the order of seeds."""
    ordered = sorted(results, key=lambda run: run.seed)
    lengths = grouped(ordered, lambda run: dict(run.overrides)["epochs"])
    return {name: by_variant(lengths[epochs]) for name, epochs in (("short", "1"), ("long", "5"))}


def remedy(results: Sequence[RunResult]) -> Remedy:
    """What is found of Gradient Centralization."""
    arms = by_length(results)["long"]
    as_is, remedied = arms[AS_IS], arms[REMEDY]
    shares = [np.array([run.final[DEAD_UNITS] for run in runs]) for runs in (as_is, remedied)]
    more = difference(shares[0], shares[1])
    collapse_p, dead_p = holm([mcnemar_p(as_is, remedied), more.p])
    first, second = (float(np.median(share)) for share in shares)
    return Remedy(
        (collapses(as_is), collapses(remedied)),
        collapse_p,
        replace(more, p=dead_p),
        (first, second),
        gain(remedied, as_is),
    )


def gain(first: Sequence[RunResult], second: Sequence[RunResult]) -> Estimate:
    """The mean difference of accuracies over the seeds of which neither run collapsed.

    With Student's interval and t test of the differences; nan where there are fewer than two.
    """
    scores = [{run.seed: run.score for run in runs if not run.failed} for runs in (first, second)]
    seeds = sorted(scores[0].keys() & scores[1].keys())
    differences = [scores[0][seed] - scores[1][seed] for seed in seeds]
    p = float(stats.ttest_1samp(differences, 0).pvalue)
    return replace(mean_interval(differences, POINTS), p=p)


def gains_over_others(results: Sequence[RunResult]) -> Mapping[str, Estimate]:
    """Accuracy with Gradient Centralization minus that with each known remedy, after Holm."""
    arms = by_length(results)["long"]
    others = [arm for arm in arms if arm not in (AS_IS, REMEDY)]
    found = after_holm([gain(arms[REMEDY], arms[arm]) for arm in others])
    return dict(zip(others, found, strict=True))

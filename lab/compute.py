"""Does MaxPool lead with equal compute? The analysis is that of docs/lab/protocol-compute.md."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.figures.estimates import SHARE, Estimate
from convblocks.figures.grouping import by_arch, grouped
from convblocks.record.result import RunResult
from lab.by_seed import BLOCKS
from lab.differences import measured, score_of
from lab.factorial import Tuned, tuned, with_choice
from lab.results import is_confirming
from lab.statistics import after_holm
from lab.study.decision import EQUIVALENT

# The arms by the network that their runs name.
ARMS = {"batchnorm": "longer", BLOCKS: "wider"}

# How many seeds choose a rate, and how many confirm it.
CHOOSING, CONFIRMING = 3, 12

Verdict = Literal["more", "arithmetic", "undecided"]


def arms_of(results: Sequence[RunResult]) -> dict[str, Tuned]:
    """The runs of both arms, of the seeds of which all are there: as many as of any other."""
    whole = []
    for runs in grouped(results, is_confirming).values():
        seeds = grouped(runs, lambda run: run.seed).values()
        whole += [run for own in seeds if len(own) == max(map(len, seeds)) for run in own]
    found = {}
    for arch, runs in by_arch(whole).items():
        (found[ARMS[arch]],) = tuned(runs).values()
    return found


def chosen(arm: Tuned) -> str:
    """The rate with the best mean accuracy on held-out images."""
    return arm.rate_by(CHOOSING, [*arm.choosing])


def at_edge(arms: Mapping[str, Tuned]) -> list[str]:
    """The arms of which a rate beyond those tried may be better."""
    found = []
    for name, arm in arms.items():
        least, *_, largest = sorted(arm.choosing, key=float)
        if chosen(arm) in (least, largest):
            found.append(name)
    return found


def lead(runs: Sequence[RunResult], others: Sequence[RunResult]) -> Estimate:
    """The difference of means; if a run collapsed, the probability that one is better."""
    found = measured(score_of(runs), runs, others)
    if found.trained and found.runs == found.trained_runs:
        return found.trained
    return found.all_runs


def leads(arms: Mapping[str, Tuned], maxpool: Sequence[RunResult]) -> dict[str, Estimate]:
    """MaxPool's over each arm, p after Holm's correction over the two."""
    found = [lead(maxpool, arm.confirming) for arm in arms.values()]
    return dict(zip(arms, after_holm(found), strict=True))


def leads_with_choice(
    arms: Mapping[str, Tuned], found: Mapping[str, Estimate]
) -> dict[str, Estimate]:
    """The leads in points, with the error of the choice of the arm's rate.

    MaxPool's own was chosen among other settings, by other seeds: its error is left out.
    """
    generator = np.random.default_rng(0)
    return {
        name: with_choice(one, arms[name].changes(generator))
        for name, one in found.items()
        if one.unit != SHARE
    }


def verdict(found: Mapping[str, Estimate], edge: Sequence[str]) -> Verdict:
    """The protocol's, from MaxPool's leads; never "more" with an arm at the edge.

    A lead that is significant but below the margin is refuted.
    """
    if any(one.unit != SHARE and one.high < EQUIVALENT for one in found.values()):
        return "arithmetic"
    is_ahead = all(map(_is_ahead, found.values()))
    return "more" if is_ahead and not edge else "undecided"


def _is_ahead(one: Estimate) -> bool:
    even = 0.5 if one.unit == SHARE else 0
    return one.value > even and one.p < SIGNIFICANCE

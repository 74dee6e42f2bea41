"""The order of the networks in sentences: over the runs that trained, and over all runs where some did not."""

from itertools import pairwise
from typing import NamedTuple

from convblocks.comparison.analysis import ArmSummary, Comparison, Difference, Reading
from convblocks.comparison.statistics import SIGNIFICANCE, holm
from convblocks.comparison.wording import lead_text, name_of, sentence
from convblocks.estimates import Estimate, count_text

READINGS: tuple[Reading, Reading] = ("trained", "all")


class Step(NamedTuple):
    """The lead of a network over the next one."""

    better: str
    worse: str
    difference: Difference
    is_certain: bool


def ranking(comparison: Comparison) -> list[str]:
    """The order of the networks, and which of them collapsed how often."""
    arms = comparison.arms
    collapsed = [f"{name_of(arm.arch)} collapsed in {_collapses(arm)}" for arm in arms if arm.collapsed_at]
    return [*([_order(comparison)] if len(arms) > 1 else []), *([sentence("; ".join(collapsed))] if collapsed else [])]


def steps(comparison: Comparison) -> list[Step]:
    """The steps between the three best networks, by the means over the runs that trained."""
    differences = {one: one.means for one in comparison.of_accuracy() if one.means}
    adjusted = dict(zip(differences, holm([one.p("trained") for one in differences]), strict=True))
    means = {arm.arch: arm.accuracy.value for arm in comparison.arms if arm.accuracy}
    found = []
    for better, worse in pairwise(sorted(means, key=lambda arch: -means[arch])[:3]):
        (one,) = [one for one in differences if {one.first, one.second} == {better, worse}]
        found.append(Step(better, worse, one, is_certain=adjusted[one] < SIGNIFICANCE))
    return found


def winner(comparison: Comparison) -> str | None:
    """The network that is certainly better than every other one, over all runs too; None without one."""
    leads: dict[str, list[bool]] = {}
    for reading in READINGS:
        found = comparison.of_accuracy()
        for one, p in zip(found, holm([one.p(reading) for one in found]), strict=True):
            better, worse = (one.first, one.second) if one.is_better(reading) else (one.second, one.first)
            leads.setdefault(better, []).append(p < SIGNIFICANCE)
            leads.setdefault(worse, []).append(False)
    return next((arch for arch, certain in leads.items() if all(certain)), None)


def _order(comparison: Comparison) -> str:
    """The order of the three best networks over the runs that trained and, where some did not, over all runs."""
    trained, of_all = [], []
    for better, worse, one, is_certain in steps(comparison):
        assert one.means
        lead = one.means if one.first == better else -one.means
        trained.append(_follows(lead, name_of(better), name_of(worse), is_certain))
        if one.runs != one.trained_runs:
            chance = one.all_runs if one.first == better else one.all_runs.complement()
            of_all.append(f"{name_of(better)} beats {name_of(worse)} in {chance}")
    if not trained:
        return "Too few networks trained to compare them."
    if not of_all:
        return sentence(", and ".join(trained))
    order = f"Among the runs that trained, {', and '.join(trained)}."
    return f"{order} Over all runs, {', and '.join(of_all)}."


def _follows(lead: Estimate, better: str, worse: str, is_certain: bool) -> str:
    if is_certain:
        return f"{better} is better than {worse} by {lead_text(lead)}"
    return f"it is not certain that {better} is better than {worse} ({lead_text(lead)})"


def _collapses(arm: ArmSummary) -> str:
    """How many runs collapsed, of which some may have diverged."""
    count = len(arm.collapsed_at)
    diverged = f", {'all' if arm.diverged == count else arm.diverged} of which diverged" if arm.diverged else ""
    return f"{count_text(count, arm.runs).replace(f' of {arm.runs}', f' of {arm.runs} runs')}{diverged}"

"""The order of the networks in sentences: over the runs that trained, and over all runs where some did not."""

from itertools import pairwise

from convblocks.compare.analysis import Comparison, Difference, Reading, Summary
from convblocks.compare.statistics import SIGNIFICANCE, holm
from convblocks.compare.wording import name_of, sentence
from convblocks.figures.estimates import Estimate, share


def ranking(comparison: Comparison) -> list[str]:
    """The order of the networks, and which of them collapsed how often."""
    arms = comparison.arms
    collapsed = [f"{name_of(arm.arch)} collapsed in {_collapses(arm)}" for arm in arms if arm.collapsed_at]
    order = [_order(comparison)] if len(arms) > 1 else []
    return [*order, *([_sentence("; ".join(collapsed), comparison)] if collapsed else [])]


def undecided(comparison: Comparison) -> list[tuple[str, str, Difference]]:
    """Those of the three best networks that are not certainly better than the next one, over the runs that trained."""
    adjusted = _adjusted(comparison, "trained")
    return [step for step in _neighbours(comparison) if not adjusted[step[-1]] < SIGNIFICANCE]


def winner(comparison: Comparison) -> str | None:
    """The network that is certainly better than every other one, over all runs too; None without one."""
    leads: dict[str, list[bool]] = {}
    readings: tuple[Reading, Reading] = ("trained", "all")
    for reading in readings:
        for difference, p in _adjusted(comparison, reading).items():
            better, worse = difference.first, difference.second
            if not difference.is_better(reading):
                better, worse = worse, better
            leads.setdefault(better, []).append(p < SIGNIFICANCE)
            leads.setdefault(worse, []).append(False)
    return next((arch for arch, certain in leads.items() if all(certain)), None)


def lead_text(lead: Estimate) -> str:
    """``0.29 points [0.24, 0.34]``, or a note that there are too few runs for an interval."""
    return f"{lead:u}{'' if lead.interval() else ', from too few runs'}"


def _order(comparison: Comparison) -> str:
    """The order of the three best networks over the runs that trained and, where some did not, over all runs."""
    adjusted = _adjusted(comparison, "trained")
    found = [
        _follows(_lead(difference, better, difference.means), better, worse, adjusted[difference] < SIGNIFICANCE)
        for better, worse, difference in _neighbours(comparison)
        if difference.means
    ]
    if not found:
        return "Too few networks trained to compare them."
    over_all = over_all_runs(comparison)
    order = f"among the runs that trained, {', and '.join(found)}" if over_all else ", and ".join(found)
    return " ".join([_sentence(order, comparison), *over_all])


def over_all_runs(comparison: Comparison) -> list[str]:
    """Of the three best networks, those of which runs collapsed, against their neighbours: one sentence or none."""
    adjusted = _adjusted(comparison, "all")
    parts = []
    for better, worse, difference in _neighbours(comparison):
        if difference.runs != difference.trained_runs:
            chance = difference.all_runs if difference.first == better else difference.all_runs.complement()
            name, other = name_of(better), name_of(worse)
            if adjusted[difference] < SIGNIFICANCE:
                parts.append(f"a run of {name} beats one of {other} with probability {chance}")
            else:
                parts.append(f"it is undecided whether {name} beats {other} ({chance})")
    return [f"Over all runs, {', and '.join(parts)}."] if parts else []


def _sentence(text: str, comparison: Comparison) -> str:
    return sentence(text, [arm.arch for arm in comparison.arms])


def _adjusted(comparison: Comparison, reading: Reading) -> dict[Difference, float]:
    """The p-values of the differences in score after Holm's correction."""
    differences = comparison.in_score
    return dict(zip(differences, holm([difference.p(reading) for difference in differences]), strict=True))


def _neighbours(comparison: Comparison) -> list[tuple[str, str, Difference]]:
    """The better, the worse and the difference of networks that follow each other, of the three best."""
    sign = comparison.judge.sign
    means = {arm.arch: sign * arm.score.value for arm in comparison.arms if arm.score}
    order = sorted(means, key=lambda arch: -means[arch])[:3]
    by_names = {frozenset((difference.first, difference.second)): difference for difference in comparison.in_score}
    return [(better, worse, by_names[frozenset((better, worse))]) for better, worse in pairwise(order)]


def _lead(difference: Difference, better: str, means: Estimate) -> Estimate:
    """By how much the better one is ahead, whichever direction is better."""
    return means if (difference.first == better) == (difference.measure.sign > 0) else -means


def _follows(lead: Estimate, better: str, worse: str, is_certain: bool) -> str:
    names = f"{name_of(better)} is better than {name_of(worse)}"
    return f"{names} by {lead_text(lead)}" if is_certain else f"it is not certain that {names} ({lead_text(lead)})"


def _collapses(arm: Summary) -> str:
    """How many runs collapsed, of which some may have diverged."""
    count = len(arm.collapsed_at)
    diverged = f", {'all' if arm.diverged == count else arm.diverged} of which diverged" if arm.diverged else ""
    return f"{count} of {arm.runs} runs {share(count, arm.runs).interval()}{diverged}"

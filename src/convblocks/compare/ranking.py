"""The order of the networks in sentences: over the runs that trained, and over all runs where some did not."""

from collections.abc import Iterable
from itertools import pairwise

from convblocks.compare.analysis import Comparison, Difference
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.figures.estimates import Estimate

# Networks within a sentence.
NAMES = {"mlp": "the MLP", "maxpool": "MaxPool", "batchnorm": "BatchNorm"}


def ranking(comparison: Comparison) -> list[str]:
    """The order of the three best networks, and which networks collapsed how often."""
    archs, sign = [arm.arch for arm in comparison.arms], comparison.results[0].judge.sign
    collapses = [
        f"{name_of(arm.arch)} collapsed in {arm.collapsed} of {arm.runs} runs {arm.trained.complement().interval()}"
        for arm in comparison.arms
        if arm.collapsed
    ]
    collapsed = [sentence("; ".join(collapses), archs)] if collapses else []
    if not comparison.differences:
        return collapsed
    if not (leads := [_lead(step, sign) for step in neighbours(comparison)]):
        return ["Too few networks trained to compare them.", *collapsed]
    over_all = over_all_runs(comparison)
    order = f"{'among the runs that trained, ' if over_all else ''}{', and '.join(leads)}"
    return [" ".join([sentence(order, archs), *over_all]), *collapsed]


def over_all_runs(comparison: Comparison) -> list[str]:
    """Of the three best networks, those with collapsed runs against their neighbours: one sentence or none."""
    parts = []
    for step in neighbours(comparison):
        if step.runs != step.trained_runs:
            name, other = name_of(step.first), name_of(step.second)
            if step.adjusted_all < SIGNIFICANCE:
                parts.append(f"a run of {name} beats one of {other} with probability {step.all_runs}")
            else:
                parts.append(f"it is undecided whether {name} beats {other} ({step.all_runs})")
    return [f"Over all runs, {', and '.join(parts)}."] if parts else []


def neighbours(comparison: Comparison) -> list[Difference]:
    """Of the three networks with the best means of runs that trained, each minus the next one."""
    sign = comparison.results[0].judge.sign
    means = {arm.arch: sign * arm.score.value for arm in comparison.arms if arm.score}
    best = sorted(means, key=lambda arch: -means[arch])[:3]
    both = {(way.first, way.second): way for pair in comparison.differences for way in (pair, pair.turned())}
    return [both[pair] for pair in pairwise(best)]


def lead_text(lead: Estimate) -> str:
    """``0.29 points [0.24, 0.34]``, or a note that there are too few runs for an interval."""
    return f"{lead:u}{'' if lead.interval() else ', from too few runs'}"


def name_of(arch: str) -> str:
    """A network within a sentence."""
    return NAMES.get(arch, arch)


def sentence(text: str, archs: Iterable[str] = ()) -> str:
    """A text with a capital letter, unless it begins with one of these networks' own names, and a full stop."""
    begins_with_name = any(text.startswith(arch) for arch in archs if arch not in NAMES)
    return f"{text if begins_with_name else text[0].upper() + text[1:]}."


def _lead(step: Difference, sign: int) -> str:
    """By how much the better one is ahead, whichever direction is better."""
    names = f"{name_of(step.first)} is better than {name_of(step.second)}"
    lead = lead_text(step.trained if sign > 0 else -step.trained) if step.trained else ""
    return f"{names} by {lead}" if step.adjusted_trained < SIGNIFICANCE else f"it is not certain that {names} ({lead})"

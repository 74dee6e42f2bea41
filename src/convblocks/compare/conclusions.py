"""Writes the conclusions of a comparison: who leads, by how much, and whether that is sure."""

import math
from collections.abc import Iterable
from itertools import pairwise

from convblocks.compare.analysis import Comparison, Difference, best_settings, summarise
from convblocks.compare.more_runs import MOST, command_for_more, runs_that_would_decide
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.figures.estimates import p_text
from convblocks.figures.grouping import by_arch
from convblocks.model.names import RECORDS, name_of
from convblocks.record.result import Results
from convblocks.text import counted, listed


def conclusions(
    results: Results, comparison: Comparison | None, confirmed: Results = ()
) -> list[str]:
    """The conclusions, in a few sentences; there is no comparison if nothing could be
    chosen from a grid.
    """
    if comparison is None:
        return [
            "Nothing was chosen from the grid, since that takes validation data: add "
            "`--data.val_size 5000` for images, or a `--judge` that is measured on such data."
        ]
    sentences = [
        *ranking(comparison, with_n=True),
        *choice_of_setting(results, comparison, confirmed),
        *test_set_note(comparison),
    ]
    machines = sorted({run.provenance.place for run in results})
    if len(machines) > 1:
        sentences.append(
            f"These runs come from {len(machines)} machines or versions: {'; '.join(machines)}."
        )
    return [*sentences, *notes_on_code(results)]


def notes_on_code(results: Results) -> list[str]:
    """Sentences on runs that were trained with two versions of the user's code, and on those of
    which that is not known.
    """
    notes = []
    edited = {file: None for run in results for file in run.provenance.edited}
    count = sum(bool(run.provenance.edited) for run in results)
    if edited:
        verb = "was" if count == 1 else "were"
        notes.append(
            f"{counted(count, 'run')} {verb} resumed after {listed([*edited])} had changed, and "
            "trained with two versions of it."
        )
    # those of a file from anywhere have no device
    unknown = sum(run.provenance.code is None and run.provenance.device != "" for run in results)
    if unknown:
        notes.append(
            f"{unknown} of {counted(len(results), 'run')} cannot say by which version of your code "
            "they were trained: they are older than this check, or a class has no file."
        )
    return notes


def choice_of_setting(results: Results, comparison: Comparison, confirmed: Results) -> list[str]:
    """The setting that validation data choose, where settings are compared on test data,
    and its score with fresh seeds.
    """
    chosen = best_settings(results)
    judge = results[0].judged_by
    name = judge.name_of(judge.metric)
    if not (comparison.of_settings and chosen and name != results[0].score_name):
        return []
    best = comparison.results[results.index(chosen[0])]
    text = f"Validation data choose {best.arch}, by its mean {name}."
    fresh = summarise(confirmed).score if confirmed else None
    if fresh:
        score = f"{confirmed[0].score_name} {judge.text(fresh.value)} {fresh.interval()}"
        text += f" With fresh seeds it has {score.rstrip()}."
    return [text]


def test_set_note(comparison: Comparison) -> list[str]:
    """The uncertainty that the choice of test images adds to an accuracy on all of them."""
    run = comparison.results[0]
    images = run.facts.get("images")
    is_limited = "trainer.limit_test_batches" in dict(run.overrides)
    if not images or is_limited or run.score_name != "test accuracy":
        return []
    worst = min((arm.score.value for arm in comparison.arms if arm.score), default=0.5)
    points = 196 * math.sqrt(worst * (1 - worst) / images["test"])
    return [
        f"The test set is a sample too: with {images['test']:,} other images an accuracy could "
        f"come out {points:.1f} points higher or lower. The intervals are for other seeds, not "
        "for other images."
    ]


def ranking(comparison: Comparison, with_n: bool = False) -> list[str]:
    """The order of the three best networks, if asked for with the numbers of runs, and
    which networks collapsed how often.
    """
    archs = [arm.arch for arm in comparison.arms]
    collapses = [
        f"{name_of(arm.arch)} collapsed in {arm.collapsed} of {arm.runs} runs "
        f"{arm.trained.complement().interval()}"
        for arm in comparison.arms
        if arm.collapsed
    ]
    collapsed = [sentence("; ".join(collapses), archs)] if collapses else []
    if not comparison.differences:
        return ["There is only one network: nothing to compare.", *collapsed]
    leads = _leads(comparison, with_n)
    over_all = over_all_runs(comparison)
    order = []
    if leads:
        order = [sentence(f"{_condition(comparison)}{'; '.join(leads)}", archs)]
    elif not over_all:
        kind = "settings" if comparison.of_settings else "networks"
        order = [f"Too few {kind} trained to compare them."]
    return [" ".join([*order, *over_all]), *collapsed]


def finding_of(comparison: Comparison) -> str:
    """Who leads, as the title of a figure; empty if there is nothing to compare."""
    return next(iter(_leads(comparison)), "").replace("the MLP", "MLP")


def title_of(comparison: Comparison | None) -> str:
    """The finding, and of which settings and runs it is."""
    if comparison is None or not (finding := finding_of(comparison)):
        return ""
    return f"{_condition(comparison)}{finding}"


def _condition(comparison: Comparison) -> str:
    """The beginning of a sentence on leads, which says among which settings and runs; empty if
    among all.
    """
    among = "Among the runs that trained, " if over_all_runs(comparison) else ""
    arms = comparison.arms
    if comparison.of_settings:
        among = f"Best of {len(arms)} settings ({arms[0].arch} is the baseline): {among.lower()}"
    return among


def over_all_runs(comparison: Comparison) -> list[str]:
    """A sentence, or none, on the leads over all runs, among those of the three best networks
    of which runs collapsed.
    """
    parts = []
    for step in neighbours(comparison):
        if step.runs == step.trained_runs:
            continue
        share = f"{step.all_runs}, {p_text(step.all_runs.p)}"
        if step.all_runs.p < SIGNIFICANCE:
            parts.append(
                f"a run of {name_of(step.first)} beats one of {name_of(step.second)} "
                f"with probability {share}"
            )
        else:
            parts.append(
                f"it is undecided whether {name_of(step.first)} beats {name_of(step.second)} "
                f"({share})"
            )
    return [f"Over all runs, {', and '.join(parts)}."] if parts else []


def neighbours(comparison: Comparison) -> list[Difference]:
    """The differences between neighbours in the order of their means of runs that trained: of
    the three best networks each minus the next one; of settings the best one minus the
    baseline, or the baseline minus the next.
    """
    sign = comparison.results[0].judged_by.sign
    means = {arm.arch: sign * arm.score.value for arm in comparison.arms if arm.score}
    best = sorted(means, key=lambda arch: -means[arch])[:3]
    if comparison.of_settings and best:
        archs = [arm.arch for arm in comparison.arms]
        best = list(dict.fromkeys([best[0], archs[0], *best, *archs]))[:2]
    found = {}
    for pair in comparison.differences:
        found[pair.first, pair.second] = pair
        found[pair.second, pair.first] = pair.turned()
    return [found[pair] for pair in pairwise(best)]


def more_runs(
    comparison: Comparison | None, results: Results, confirmed: Results, repeat: str, jobs: int
) -> tuple[list[str], str]:
    """A sentence, or none, on how many runs would decide the first lead that is open, and the
    command that trains them. The last arguments are those of ``report_of``.
    """
    steps = neighbours(comparison) if comparison else []
    open_steps = [step for step in steps if step.trained and step.trained.p >= SIGNIFICANCE]
    if not (comparison and open_steps):
        return [], ""
    unsure = open_steps[0]
    runs = by_arch(comparison.results)
    pair = runs[unsure.first], runs[unsure.second]
    wanted = runs_that_would_decide(*pair, len(comparison.differences))
    if not wanted:
        return [], ""
    better = f"{name_of(unsure.first)} is better than {name_of(unsure.second)}"
    needed = f"at least {wanted} runs each"
    if min(unsure.trained_runs) > 1:
        about = f"about {float(f'{wanted:.2g}'):,.0f} runs each"
        needed = f"{about}, if they differ as much as these (power 80 %)"
    text = f"To be sure whether {better} takes {needed}."
    confirms = confirmed and not comparison.of_settings
    option, known = ("--confirm", confirmed) if confirms else ("--seeds", results)
    seeds = len({run.seed for run in known})  # of a part of the runs some may be missing
    if not jobs or not seeds < wanted <= MOST:
        return [text], ""
    trains, command = command_for_more(known, wanted, option, repeat, jobs)
    return [f"{text} {trains}"], command


def sentence(text: str, archs: Iterable[str] = ()) -> str:
    """A text with a capital letter, unless it begins with one of these networks' own
    names, and a full stop.
    """
    begins_with_name = any(text.startswith(arch) for arch in archs if arch not in RECORDS)
    return f"{text if begins_with_name else text[0].upper() + text[1:]}."


def _leads(comparison: Comparison, with_n: bool = False) -> list[str]:
    return [_lead(step, with_n) for step in neighbours(comparison) if step.trained]


def _lead(step: Difference, with_n: bool) -> str:
    """A clause on a lead: by how much the first network is better than the second, whichever
    direction is better, and whether that is certain.
    """
    assert step.trained is not None
    lead = step.trained if step.trained.value > 0 else -step.trained
    first, second = name_of(step.first), name_of(step.second)
    by = f"{lead:u}" + f" ({step.n})" * with_n
    if lead.p < SIGNIFICANCE:
        return f"{first} is better than {second} by {by}"
    if lead.value == 0:
        return f"{first} and {second} have equal means: the difference is {by}"
    doubt = "which may be chance" if lead.interval() else "but so few runs cannot tell"
    if min(step.trained_runs) == 1:
        doubt = "but one run shows no spread"
    return f"{first} leads {second} by {by}, {doubt}"

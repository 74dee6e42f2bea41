"""A comparison's tables and sentences: a line for each network, the notebook's claims, the conclusions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from convblocks.compare.analysis import GOAL, NOTEBOOKS, ArmSummary, Comparison, Difference, Reading, Test
from convblocks.compare.claims import MUCH, ROUGHLY_EQUAL, Claim, claims_of
from convblocks.compare.details import details
from convblocks.compare.figure import comparison_figure, sweep_figure
from convblocks.compare.grid import Analysis, as_numbers
from convblocks.compare.publish import Report
from convblocks.compare.ranking import ranking, winner
from convblocks.compare.results import as_row
from convblocks.compare.statistics import permutation_test, runs_that_decide
from convblocks.compare.trials import NO_SETTINGS
from convblocks.compare.wording import NOTEBOOK, NOTEBOOK_MLP, is_notebooks, noun_of, sentence, settings_text
from convblocks.data.images import MNIST, ImageSpec
from convblocks.figures.estimates import NOTHING, SHARE, cell, p_text
from convblocks.figures.page import Chart
from convblocks.figures.tables import Table
from convblocks.run.judge import Judge
from convblocks.run.result import RunResult

# Columns that a narrow terminal drops.
DROPPABLE = ("sd", "s a\nrun", "parameters", "validation", "worst - best")


def report_of(analysis: Analysis, more: tuple[str, str] = ("", ""), repeat: str = "") -> Report:
    """The report of a comparison; without validation images all settings of a grid, of which none may be chosen.

    ``more`` is a last sentence, and the command that it announces; ``repeat`` is the command that makes it again.
    """
    swept, cells = tuple(analysis.swept), list(analysis.at_settings.values())
    every_setting = [results_table(titled("Every setting", analysis.results, swept), cells, swept)] if cells else []
    if analysis.main:
        title = f"Each {noun_of(analysis.results)} at its own best setting" if swept else "Results"
        title = titled(title, analysis.main.results, swept)
        tables = [results_table(title, [analysis.main], swept, _choice_notes(analysis), winner(analysis.main))]
        tables += claims_tables({"verdict": analysis.main})
        further = every_setting
    else:
        tables = every_setting
        further = [
            replace(table, title=f"{settings_text(overrides, swept)}: {table.title}")
            for overrides, comparison in analysis.at_settings.items()
            for table in claims_tables({"verdict": comparison})
        ]
    draw, when = (sweep_figure, "At each setting") if swept else (comparison_figure, "By epoch, and at the end")
    return Report(
        name="comparison",
        tables=tables,
        sentences=[*conclusions(analysis), *filter(None, more[:1])],
        command=more[1],
        details=[*further, *details(analysis)],
        figures={"": Chart(partial(draw, analysis.results), f"{when}: every run, and the means of those that trained")},
        numbers=as_numbers(analysis),
        rows=[as_row(one) for one in (*analysis.results, *analysis.confirmed)],
        repeat=repeat,
    )


def conclusions(analysis: Analysis) -> list[str]:
    """The conclusions, in a few sentences."""
    if analysis.main is None:
        in_percent = analysis.results[0].judge.in_percent
        how = "images: add --data.val_size 5000" if in_percent else "data: --judge by a metric of these"
        return [
            f"Nothing was chosen from the grid, since that takes validation {how}. "
            "comparison.md has the verdicts at every setting."
        ]
    machines = sorted({one.provenance.machine for one in analysis.results})
    differ = [f"These runs are of {len(machines)} machines or versions: {'; '.join(machines)}."] if machines[1:] else []
    return [
        *ranking(analysis.main),
        *([_edges(analysis)] if analysis.edges else []),
        *([test_set_note(analysis.main, analysis.main.images["test"])] if analysis.main.images else []),
        *differ,
    ]


def titled(title: str, results: Sequence[RunResult], swept: Sequence[str]) -> str:
    """A title with the settings that all runs share."""
    overrides = results[0].overrides
    common = [option for option, _ in overrides if option not in swept and option not in NO_SETTINGS]
    return f"{title}: {settings_text(overrides, common)}" if common else title


def results_table(
    title: str,
    comparisons: Sequence[Comparison],
    swept: Sequence[str] = (),
    notes: Sequence[str] = (),
    best: str | None = None,
) -> Table:
    """A line for each network of each comparison; the setting and validation columns are those of a grid.

    That of the ``best`` one is marked.
    """
    baseline, images, results = comparisons[0].baseline, comparisons[0].images, comparisons[0].results
    validated = bool(swept) and all(arm.validation is not None for one in comparisons for arm in one.arms)
    alone = all(len(one.arms) == 1 for one in comparisons)
    columns = {
        noun_of(results): True,
        "setting": bool(swept),
        "parameters": any(one.parameters for one in results),
        "s a\nrun": any(one.seconds for one in results),
        "trained": True,
        "validation": validated,
        f"{results[0].score_name.removeprefix('test ')}\nif trained": True,
        "sd": True,
        "worst - best": True,
        f"P(beats\n{baseline})": not alone,
        f"minus {baseline}\nif trained": not alone,
    }
    lines = [_line(comparison, arm, swept, arm.arch == best) for comparison in comparisons for arm in comparison.arms]
    if is_notebooks(comparisons):
        lines.insert(1, _notebook_line())
    shown = list(columns.values())
    notes = [
        *(_other_images(images) if images else []),
        *notes,
        f"[...]: 95 % intervals. {_meaning_of_collapse(comparisons[0])}; means in this table leave such runs out.",
        *([] if alone else [_meaning(comparisons[0])]),
        *(["validation: the mean over all runs, by which a setting is chosen."] if validated else []),
    ]
    kept = [[cell for cell, show in zip(line, shown, strict=True) if show] for line in lines]
    return Table(title, [name for name, show in columns.items() if show], kept, notes, DROPPABLE)


def claims_tables(comparisons: Mapping[str, Comparison], test: Test = permutation_test) -> list[Table]:
    """The table of the notebook's claims, with a column of verdicts for each comparison; none without its networks."""
    found = {title: claims_of(comparison, test) for title, comparison in comparisons.items()}
    if not all(found.values()):
        return []
    lines = []
    for claims in zip(*found.values(), strict=True):
        reasons = [why(comparison, one) for comparison, one in zip(comparisons.values(), claims, strict=True)]
        judged = [judged_by(one) for one in claims]
        text = claims[0].text
        if len(set(judged)) == 1:
            text += f" ({judged[0]})" if judged[0] else ""
            judged = [""] * len(claims)
        if len(set(reasons)) > 1:
            titles = [sentence(title.split()[0])[:-1] for title in comparisons]
            reasons = [
                f"{title}{f', by {by}' if by else ''}: {reason}"
                for title, by, reason in zip(titles, judged, reasons, strict=True)
            ]
        lines.append([text, *map(_verdict, claims), " ".join(dict.fromkeys(reasons))])
    notes = [
        f"{thresholds()} A verdict is over all runs, collapsed ones as the worst; in brackets, if it differs, over the "
        "runs that trained."
    ]
    return [Table("The notebook's claims", ["claim", *comparisons, "why"], lines, notes)]


def thresholds() -> str:
    """The significance level and thresholds by which the claims are judged."""
    return (
        f"At 5 %, after Holm's correction over 4 claims. Our thresholds: roughly equal is at most "
        f"{100 * (ROUGHLY_EQUAL - 1):.0f} % apart, much better is by more than {100 * MUCH:.0f} point."
    )


def judged_by(claim: Claim) -> str:
    """The measure of a claim about speed; empty for other claims."""
    measure = claim.evidence[0].measure if claim.evidence else None
    if measure == "first_loss":
        return "loss of epoch 1"
    return f"seconds to {100 * GOAL:.0f} % accuracy" if measure == "seconds_to_goal" else ""


def why(comparison: Comparison, claim: Claim) -> str:
    """The numbers on which a verdict rests."""
    if not claim.evidence:
        counts = [arm.parameters for arm in comparison.arms if arm.arch in NOTEBOOKS]
        return f"{min(counts):,} to {max(counts):,}: {100 * (max(counts) / min(counts) - 1):.1f} % apart."
    collapses = any(one.runs != one.trained_runs for one in claim.evidence)
    parts = [_evidence(claim.evidence, "trained", claim.trained.p, "If trained: " if collapses else "")]
    if claim.readings_differ:
        weakest = max(claim.evidence, key=lambda one: one.p("all"))
        parts.append(_evidence([weakest], "all", claim.all_runs.p, "All runs: "))
    elif collapses and claim.all_runs.p is not None:
        parts.append(f"All runs: {p_text(claim.all_runs.p)}.")
    if "too few runs" in (claim.all_runs.ruling, claim.trained.ruling):
        parts.append(f"It takes {runs_that_decide(4)} trained runs of each.")
    return " ".join(parts)


def test_set_note(comparison: Comparison, images: int) -> str:
    """The uncertainty that the choice of test images adds."""
    worst = min((arm.score.value for arm in comparison.arms if arm.score), default=0.5)
    points = 196 * math.sqrt(worst * (1 - worst) / images)
    return (
        f"The test set is a sample too: with {images:,} other images an accuracy could come out {points:.1f} points "
        "higher or lower. The intervals are for other seeds, not for other images."
    )


def _choice_notes(analysis: Analysis) -> list[str]:
    if not analysis.swept:
        return []
    judge = analysis.results[0].judge
    by = f"its mean {judge.metric}"
    if judge.in_percent:
        by = "its mean accuracy on validation images, not on test images"
    chosen = f"Each setting was chosen by {by}."
    on_all = ", on all training images" if judge.in_percent else ""
    fresh = [f"These are runs with fresh seeds{on_all}."] if analysis.confirmed else []
    return [chosen, *fresh]


def _line(comparison: Comparison, arm: ArmSummary, swept: Sequence[str], is_best: bool) -> list[str]:
    """A network's cells for all columns; a line break in a cell applies on a terminal."""
    own = [one for one in comparison.of_score() if (one.first, one.second) == (arm.arch, comparison.baseline)]
    against = own[0] if own else None
    cells = [
        f"{arm.arch}\n(best)" if is_best else arm.arch,
        settings_text(arm.overrides, swept).replace(", ", ",\n"),
        f"{arm.parameters:,}",
        f"{arm.seconds:.0f}",
        f"{arm.trained_runs}/{arm.runs} {arm.trained.interval()}",
        NOTHING if arm.validation is None else comparison.judge.number(arm.validation),
        cell(arm.score),
        arm.score.text(arm.score.deviation) if arm.score and arm.score.n > 1 else NOTHING,
        _range(comparison.judge, arm),
        cell(against.all_runs if against else None),
        cell(against.means if against else None, "+"),
    ]
    return [one.replace(" [", "\n[") for one in cells]


def _range(judge: Judge, arm: ArmSummary) -> str:
    """The worst and best run that trained, and the scores of those that collapsed."""
    ends = [] if arm.worst is None or arm.best is None else [arm.worst, arm.best]
    parts = ["-".join(map(judge.number, ends))] if ends else []
    if arm.collapsed_at:
        values = list(dict.fromkeys(judge.number(arm.collapsed_at[index]) for index in (0, -1)))
        parts.append(f"({len(arm.collapsed_at)} at {'-'.join(values)})")
    return "\n".join(parts)


def _notebook_line() -> list[str]:
    parameters, _, _, accuracy = NOTEBOOK_MLP
    return [NOTEBOOK, NOTHING, parameters, NOTHING, "1/1", NOTHING, accuracy, *[NOTHING] * 4]


def _other_images(images: Mapping[str, Any]) -> list[str]:
    spec = ImageSpec.from_dict(images["spec"])
    return [] if spec.same_images(MNIST) else [f"Images of {spec}; {images['test']:,} test images."]


def _meaning_of_collapse(comparison: Comparison) -> str:
    if comparison.chance_threshold is None:
        return "A run has collapsed if it diverges"
    chance = f"at most {100 * comparison.chance_threshold:.1f} %"
    return f"A run has collapsed if it diverges, or ends at chance ({chance}) and cannot recover"


def _meaning(comparison: Comparison) -> str:
    baseline = comparison.baseline
    noun = noun_of(comparison.results)
    difference = "points of accuracy" if comparison.judge.in_percent else "the difference"
    return (
        f"P(beats {baseline}): the probability that a run of this {noun} is better than one of {baseline}, "
        f"collapsed runs coming last. minus {baseline}: {difference} between the means of the runs that trained."
    )


def _verdict(claim: Claim) -> str:
    return claim.all_runs.ruling + (f" ({claim.trained.ruling})" if claim.readings_differ else "")


def _evidence(evidence: Sequence[Difference], reading: Reading, p: float | None, opening: str) -> str:
    """The differences of one reading, and the p-value of the claim."""
    parts = []
    for one in evidence:
        estimate = one.estimate(reading)
        first = "" if one.margin else f"{one.first} "
        if estimate is None:
            parts.append(f"no run of {one.second if one.trained_runs[0] else one.first} trained")
        elif estimate.unit == SHARE:
            margin = f" by more than {100 * one.margin:.0f} point" if one.margin else ""
            parts.append(f"{first}better{margin} in {estimate}")
        else:
            parts.append(f"{first}{estimate:+u}")
    return f"{opening}{', '.join(parts)}{'' if p is None else f' ({p_text(p)})'}."


def _edges(analysis: Analysis) -> str:
    """Beyond a best value at the edge of the grid there may be a better one."""
    found = [f"{edge.arch} ({edge.option} {edge.value}, look {edge.beyond})" for edge in analysis.edges]
    return f"Extend the grid: the best value lies at its edge for {', '.join(found)}."

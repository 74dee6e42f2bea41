"""A comparison on one screen: a line for each network, the claims, and what a reader may believe."""

import math
from collections.abc import Sequence
from itertools import pairwise

from convblocks.comparison.findings import Analysis
from convblocks.comparison.outcomes import Images
from convblocks.comparison.statistics import SIGNIFICANCE, Superiority, Test, holm
from convblocks.comparison.trials import ROOT
from convblocks.comparison.verdicts import (
    CLAIMED,
    GOAL,
    MUCH,
    ROUGHLY_EQUAL,
    Claim,
    Comparison,
    Difference,
    Reading,
    Row,
    Which,
    enough_runs,
    p_of,
)
from convblocks.comparison.wording import (
    NOTEBOOK,
    NOTEBOOK_MLP,
    NOTHING,
    UNITS,
    accuracy_text,
    difference_text,
    is_notebooks,
    lead_text,
    name_of,
    p_text,
    probability_text,
    sentence,
    settings_text,
    shares,
)
from convblocks.data.image_spec import MNIST
from convblocks.tables import Table

# Columns that a narrow terminal can do without.
DROPPABLE = ("sd", "s a\nrun", "parameters", "validation", "worst - best")


def screen(findings: Analysis) -> list[Table]:
    """The table of the networks and that of the claims; of a grid from which nothing may be chosen, all settings."""
    if findings.main is None:
        return [every_setting(findings)]
    title = "Each network at its own best setting" if findings.swept else "Results"
    notes = (
        ["Each setting was chosen by its mean accuracy on validation images; the test set had no say."]
        if findings.swept
        else []
    )
    tables = [results_table(titled(title, findings), [findings.main], tuple(findings.swept), notes)]
    return [*tables, claims_table(findings.main)] if findings.main.claims else tables


def conclusions(findings: Analysis) -> list[str]:
    """What a reader may believe, in a few plain sentences."""
    if findings.main is None:
        return [
            "Nothing was chosen from the grid, since that takes validation images: add --data.val_size 5000. "
            "comparison.md has the verdicts at every setting."
        ]
    return [*what_follows(findings.main), *([_edges(findings)] if findings.edges else []), test_set_note(findings.main)]


def what_follows(comparison: Comparison) -> list[str]:
    """How the networks follow each other given that they train, and which of them do not always train."""
    rows = comparison.rows
    lost = [f"{name_of(row.arch)} does not train in {_lost(row)}" for row in rows if row.trained < row.runs]
    return [*([_order(comparison)] if len(rows) > 1 else []), *([sentence("; ".join(lost))] if lost else [])]


def every_setting(findings: Analysis) -> Table:
    """Every network at every setting, against the first network at the same."""
    return results_table(titled("Every setting", findings), list(findings.at_settings.values()), tuple(findings.swept))


def titled(title: str, findings: Analysis) -> str:
    """A title, with what all runs have in common."""
    common = [option for option, _ in findings.outcomes[0].settings if option not in findings.swept and option != ROOT]
    return f"{title}: {settings_text(findings.outcomes[0].settings, common)}"


def results_table(
    title: str, comparisons: Sequence[Comparison], swept: Sequence[str] = (), notes: Sequence[str] = ()
) -> Table:
    """A line for each network of each comparison; the setting and validation columns are those of a grid."""
    baseline, images = comparisons[0].baseline, comparisons[0].images
    validated = bool(swept) and all(row.validation is not None for one in comparisons for row in one.rows)
    alone = all(len(one.rows) == 1 for one in comparisons)
    columns = {
        "network": True,
        "setting": bool(swept),
        "parameters": True,
        "s a\nrun": True,
        "trained": True,
        "validation": validated,
        "accuracy\nif trained": True,
        "sd": True,
        "worst - best": True,
        f"P(beats\n{baseline})": not alone,
        f"minus {baseline}\nif trained": not alone,
    }
    lines = [_line(comparison, row, swept) for comparison in comparisons for row in comparison.rows]
    if is_notebooks(comparisons):
        lines.insert(1, _notebook_line())
    shown = list(columns.values())
    notes = [
        *([] if images.image_spec.same_images(MNIST) else [_data_note(images)]),
        *notes,
        "[...]: 95 % intervals. A run has not trained if it diverges, or ends at or below "
        f"{100 * images.chance_threshold:.1f} % accuracy; no mean counts such runs.",
        *([] if alone else [_meaning(baseline)]),
        *(["validation: the mean over all runs, by which a setting is chosen."] if validated else []),
    ]
    kept = [[cell for cell, show in zip(line, shown, strict=True) if show] for line in lines]
    return Table(title, [name for name, show in columns.items() if show], kept, notes, DROPPABLE)


def claims_table(comparison: Comparison) -> Table:
    """The notebook's claims with their verdicts, in both readings where these differ, and why."""
    differ = any(claim.expected.verdict != claim.trained.verdict for claim in comparison.claims)
    tested = sum(bool(claim.evidence) for claim in comparison.claims)
    columns = ["claim", *(["what to\nexpect", "given that\nit trains"] if differ else ["verdict"]), "why"]
    rows = []
    for claim in comparison.claims:
        verdicts = [claim.expected.verdict, claim.trained.verdict] if differ else [claim.trained.verdict]
        rows.append([claim_text(claim), *verdicts, why(comparison, claim, tested)])
    notes = [thresholds(tested)]
    if differ:
        notes.append("What to expect: over all runs, collapsed ones as the worst. Given that it trains: without them.")
    return Table("The notebook's claims", columns, rows, notes)


def thresholds(tested: int) -> str:
    """By what so many claims were judged."""
    return (
        f"At 5 %, after Holm's correction over {tested} claims. Our thresholds: roughly equal is at most "
        f"{100 * (ROUGHLY_EQUAL - 1):.0f} % apart, much better is by more than {100 * MUCH:.0f} point."
    )


def claim_text(claim: Claim) -> str:
    """A claim, with what it was judged by where that is not plain."""
    judged = judged_by(claim)
    return f"{claim.text} ({judged})" if judged else claim.text


def judged_by(claim: Claim) -> str:
    """The measure by which it was judged what is faster; nothing of other claims."""
    measure = claim.evidence[0].measure if claim.evidence else None
    if measure == "first_loss":
        return "loss of epoch 1"
    return f"seconds to {100 * GOAL:.0f} % accuracy" if measure == "seconds_to_goal" else ""


def why(comparison: Comparison, claim: Claim, tested: int) -> str:
    """The numbers on which a verdict rests, in a sentence."""
    if not claim.evidence:
        counts = [row.parameters for row in comparison.rows if row.arch in CLAIMED]
        return f"{min(counts):,} to {max(counts):,}: {100 * (max(counts) / min(counts) - 1):.1f} % apart."
    differ = claim.expected.verdict != claim.trained.verdict
    parts = [_evidence(claim.evidence, "trained", claim.trained, "If trained: " if differ else "")]
    if differ:
        weakest = max(claim.evidence, key=lambda one: p_of(one, "expected"))
        parts.append(_evidence([weakest], "expected", claim.expected, "All runs: "))
    if "n is too small" in (claim.expected.verdict, claim.trained.verdict):
        parts.append(f"It takes {enough_runs(tested)} trained runs of each.")
    return " ".join(parts)


def test_set_note(comparison: Comparison) -> str:
    """How much the choice of test images matters."""
    worst = min((row.accuracy.mean for row in comparison.rows if row.accuracy), default=0.5)
    images = comparison.images.test_images
    points = 196 * math.sqrt(worst * (1 - worst) / images)
    return (
        f"The test set is a sample too: with {images:,} other images an accuracy could come out {points:.1f} points "
        "higher or lower. The intervals tell of other seeds, not of other images."
    )


def _line(comparison: Comparison, row: Row, swept: Sequence[str]) -> list[str]:
    """A network's cells, all columns of the table; a line break in a cell is one on a terminal."""
    found = [one for one in comparison.differences if one.measure == "accuracy" and one.first == row.arch]
    against = [one for one in found if one.second == comparison.baseline]
    result = against[0].trained if against else None
    cells = [
        row.arch,
        settings_text(row.settings, swept).replace(", ", ",\n"),
        f"{row.parameters:,}",
        f"{row.seconds:.0f}",
        f"{row.trained}/{row.runs} {shares(*row.trained_interval)}",
        NOTHING if row.validation is None else f"{100 * row.validation:.2f}",
        accuracy_text(row.accuracy),
        f"{100 * row.accuracy.deviation:.2f}" if row.accuracy and row.accuracy.n > 1 else NOTHING,
        _range(row),
        probability_text(against[0].expected) if against else NOTHING,
        difference_text(result, "accuracy") if isinstance(result, Test) else NOTHING,
    ]
    return [cell.replace(" [", "\n[") for cell in cells]


def _range(row: Row) -> str:
    """From the worst run that trained to the best, and where those are that did not."""
    parts = [] if row.worst is None or row.best is None else [f"{100 * row.worst:.2f}-{100 * row.best:.2f}"]
    if row.collapsed_at:
        values = list(dict.fromkeys(f"{100 * row.collapsed_at[index]:.2f}" for index in (0, -1)))
        parts.append(f"({len(row.collapsed_at)} at {'-'.join(values)})")
    return "\n".join(parts)


def _notebook_line() -> list[str]:
    parameters, _, _, accuracy = NOTEBOOK_MLP
    return [NOTEBOOK, NOTHING, parameters, NOTHING, "1/1", NOTHING, accuracy, *[NOTHING] * 4]


def _meaning(baseline: str) -> str:
    return (
        f"P(beats {baseline}): how often a run of this network is better than one of {baseline}, runs that have not "
        f"trained coming last. minus {baseline}: points of accuracy between the means of those that have."
    )


def _data_note(images: Images) -> str:
    return f"Images of {images.image_spec}; {images.test_images:,} test images."


def _evidence(evidence: Sequence[Difference], which: Which, reading: Reading, opening: str) -> str:
    """The differences of one reading, and the p-value of the claim."""
    parts = []
    for one in evidence:
        result = one.trained if which == "trained" else one.expected
        first = "" if one.margin else f"{one.first} "
        if isinstance(result, Test):
            parts.append(f"{first}{difference_text(result, one.measure)}{UNITS[one.measure]}")
        elif isinstance(result, Superiority):
            margin = f" by more than {100 * one.margin:.0f} point" if one.margin else ""
            parts.append(f"{first}better{margin} in {probability_text(result)}")
        else:
            parts.append(f"no run of {one.second if one.trained_runs[0] else one.first} trained")
    p = "" if reading.p is None else f" ({p_text(reading.p)})"
    return f"{opening}{', '.join(parts)}{p}."


def _order(comparison: Comparison) -> str:
    """How the three best of the networks that trained follow each other."""
    differences = [one for one in comparison.differences if one.measure == "accuracy" and isinstance(one.trained, Test)]
    adjusted = dict(zip(differences, holm([p_of(one, "trained") for one in differences]), strict=True))
    ranked = sorted((row for row in comparison.rows if row.accuracy), key=_mean_accuracy, reverse=True)[:3]
    parts = []
    for better, worse in pairwise(ranked):
        (one,) = [one for one in differences if {one.first, one.second} == {better.arch, worse.arch}]
        parts.append(_follows(one, better.arch, worse.arch, is_certain=adjusted[one] < SIGNIFICANCE))
    return f"Given that they train, {', and '.join(parts)}." if parts else "Too few networks trained to compare them."


def _mean_accuracy(row: Row) -> float:
    return row.accuracy.mean if row.accuracy else 0.0


def _follows(one: Difference, better: str, worse: str, is_certain: bool) -> str:
    assert isinstance(one.trained, Test)
    lead = lead_text(one.trained, 1 if one.first == better else -1)
    if is_certain:
        return f"{name_of(better)} is better than {name_of(worse)} by {lead}"
    return f"it is not certain that {name_of(better)} is better than {name_of(worse)} ({lead})"


def _lost(row: Row) -> str:
    """How many runs did not train, of which some may have diverged."""
    low, high = (1 - end for end in reversed(row.trained_interval))
    lost = row.runs - row.trained
    diverged = f", {'all' if row.diverged == lost else row.diverged} of which diverged" if row.diverged else ""
    return f"{lost} of {row.runs} runs {shares(low, high)}{diverged}"


def _edges(findings: Analysis) -> str:
    """Where the best value is the last of the grid, there may be a better one beyond."""
    found = [f"{edge.arch} ({edge.option} {edge.value}, look {edge.beyond})" for edge in findings.edges]
    return f"Extend the grid: the best value lies at its edge for {', '.join(found)}."

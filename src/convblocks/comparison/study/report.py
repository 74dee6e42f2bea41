"""What the study says: what was chosen, and what is decided."""

from collections.abc import Mapping, Sequence

from convblocks.comparison.outcomes import RunResult, by_arch, mean_validation
from convblocks.comparison.report import claim_text, judged_by, results_table, thresholds, what_follows, why
from convblocks.comparison.statistics import Test, mean_interval
from convblocks.comparison.study.decision import EQUIVALENT, POWER, PRIMARY, ByImage, Decision, by_cell
from convblocks.comparison.study.plan import FINALISTS, HELD_OUT, Cell
from convblocks.comparison.verdicts import Claim, Difference
from convblocks.comparison.wording import (
    NAMES,
    NOTHING,
    difference_text,
    lead_text,
    name_of,
    p_text,
    probability_text,
    rate_text,
    settings_text,
    spread_text,
)
from convblocks.tables import Table

SWEPT = ("lr", "lr_scheduler")

# How the sentences begin that tell of the networks at either setting.
AT_BEST, AT_NOTEBOOKS = "Each at its own best setting,", "At the notebook's setting,"


def choice_table(outcomes: Sequence[RunResult], choices: Mapping[str, Cell]) -> Table:
    """Every setting that was tried, the best first, by the images held out; the test set is not in it."""
    lines = []
    for arch, own in by_arch(outcomes).items():
        cells = by_cell(own)
        scores = {cell: mean_validation(runs) for cell, runs in cells.items()}
        for cell in sorted(cells, key=lambda cell: (cell != choices.get(arch), -len(cells[cell]), -scores[cell])):
            runs = cells[cell]
            trained = [float(one.validation or 0) for one in runs if not one.collapsed]
            shown = spread_text(mean_interval(trained)) if trained else NOTHING
            collapsed = rate_text(len(runs) - len(trained), len(runs))
            mark = "chosen" if cell == choices.get(arch) else ""
            lines.append([arch, cell_text(cell), f"{100 * scores[cell]:.2f}", collapsed, shown, mark])
    notes = [
        f"Accuracy in % on {HELD_OUT:,} training images that were held out. The score, by which settings are ranked, "
        "is the mean over all runs of a setting, of which collapsed ones count with the accuracy that they have; if "
        "trained: mean and standard deviation of the others. In brackets Wilson's 95 % interval. The best "
        f"{FINALISTS} settings of each network have further seeds."
    ]
    return Table("The choice", ["network", "setting", "score", "collapsed", "if trained", ""], lines, notes)


def decision_tables(decision: Decision) -> list[Table]:
    """The networks at both settings, the notebook's claims at both, and the answers image by image."""
    both = [decision.at_notebooks, decision.at_best]
    tables = [results_table("The notebook's setting, and each network's own best one", both, SWEPT)]
    if decision.at_best.claims and decision.at_notebooks.claims:
        tables.append(claims_table(decision))
    return [*tables, *([images_table(decision.by_image)] if decision.by_image else [])]


def claims_table(decision: Decision) -> Table:
    """The notebook's claims, each with its verdicts at both settings."""
    tested = sum(bool(claim.evidence) for claim in decision.at_best.claims)
    lines = []
    for at_notebooks, at_best in zip(decision.at_notebooks.claims, decision.at_best.claims, strict=True):
        here, there = (
            why(comparison, claim, tested)
            for comparison, claim in ((decision.at_notebooks, at_notebooks), (decision.at_best, at_best))
        )
        alike = claim_text(at_notebooks) == claim_text(at_best)
        by = ["", ""] if alike else [f", by {judged_by(one)}" for one in (at_notebooks, at_best)]
        reasons = here if here == there else f"Notebook's{by[0]}: {here} Best{by[1]}: {there}"
        text = claim_text(at_best) if alike else at_best.text
        lines.append([text, _verdicts(at_notebooks), _verdicts(at_best), reasons])
    notes = [
        f"{thresholds(tested)} A verdict is on what to expect of a run: collapsed runs count, as the worst; in "
        "brackets, where it is another, that on runs that trained."
    ]
    return Table("The notebook's claims", ["claim", "notebook's setting", "own best setting", "why"], lines, notes)


def images_table(found: Sequence[ByImage]) -> Table:
    """Which images one of two networks alone gets right, and the difference on digits that nobody has seen."""
    lines = [
        [
            f"{one.first} - {one.second}",
            f"{one.only_first:.1f}",
            f"{one.only_second:.1f}",
            f"{one.told_apart} of {one.pairs}",
            difference_text(one.new_digits, "accuracy"),
        ]
        for one in found
    ]
    columns = ["networks", "only the first\nright", "only the second\nright", "pairs of runs\ntold apart", "new digits"]
    notes = [
        "At the best settings. Test images that one network alone gets right, means over pairs of runs of the same "
        "seed; told apart: McNemar's exact test of the pair has p < 0.05. New digits: the difference in points with "
        "other seeds and on other images, 95 % by a bootstrap over both."
    ]
    return Table("Image by image", columns, lines, notes)


def verdict(decision: Decision) -> list[str]:
    """What a reader may believe, in a few plain sentences."""
    lines = []
    if decision.primary:
        lines.append(_primary(decision, decision.primary))
        for one in decision.by_image:
            if (one.first, one.second) == PRIMARY:
                found = difference_text(one.new_digits, "accuracy")
                lines.append(f"With other seeds and on other digits, the difference would be {found} points.")
    return lines + [f"{AT_NOTEBOOKS} {_continued(line)}" for line in what_follows(decision.at_notebooks)]


def cell_text(cell: Cell) -> str:
    return settings_text(cell.settings, SWEPT)


def _primary(decision: Decision, primary: Difference) -> str:
    cells = {row.arch: settings_text(row.settings, SWEPT) for row in decision.at_best.rows}
    one, other = (f"{name_of(arch)} ({cells[arch]})" for arch in (primary.first, primary.second))
    numbers = _numbers(primary)
    if decision.decided == "equivalent":
        points = f"{100 * EQUIVALENT:.1f} points"
        return f"{AT_BEST} {one} and {other} are equivalent, within {points}: {numbers}."
    if decision.decided == "undecided":
        needed = (
            f"; about {decision.needed} runs of each would find such a difference in {100 * POWER:.0f} % of studies"
            if decision.needed
            else ""
        )
        return f"{AT_BEST} it is undecided whether {one} or {other} is better: {numbers}{needed}."
    is_first = decision.decided == "first is better"
    better, worse = (one, other) if is_first else (other, one)
    found = f"{better} is better than {worse}"
    if means := _of_means(primary):
        lead = lead_text(means, 1 if is_first else -1)
        return f"{AT_BEST} {found} by {lead} ({p_text(means.p)}, {_runs(primary)})."
    return f"{AT_BEST} {found}: {numbers}."


def _numbers(primary: Difference) -> str:
    """The difference by which it was judged, first minus second."""
    result, ranks, runs = primary.trained, primary.expected, _runs(primary)
    if means := _of_means(primary):
        found = difference_text(means, "accuracy")
        return f"{primary.first} - {primary.second} {found} points ({p_text(means.p)}, {runs})"
    trained = f"; if trained {difference_text(result, 'accuracy')}" if isinstance(result, Test) else ""
    return f"{primary.first} wins in {probability_text(ranks)} ({p_text(ranks.p)}, {runs}{trained})"


def _of_means(primary: Difference) -> Test | None:
    """The test that decides if all runs trained; None where ranks do."""
    return primary.trained if primary.runs == primary.trained_runs and isinstance(primary.trained, Test) else None


def _runs(primary: Difference) -> str:
    first, second = primary.runs
    return f"{first} runs of each" if first == second else f"{first} and {second} runs"


def _continued(line: str) -> str:
    """A sentence as the end of another one; a network keeps its capital."""
    return line if line.startswith(tuple(NAMES.values())) else f"{line[0].lower()}{line[1:]}"


def _verdicts(claim: Claim) -> str:
    expected, trained = claim.expected.verdict, claim.trained.verdict
    return expected if expected == trained else f"{expected} ({trained})"

"""What of a comparison does not fit on one screen: the notebook's table, all differences, every setting."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from convblocks.comparison.findings import Analysis, compared
from convblocks.comparison.outcomes import RunResult, by_arch, by_settings, died_in, time_to
from convblocks.comparison.report import claims_table, conclusions, every_setting, screen
from convblocks.comparison.statistics import Mean, Superiority, Test
from convblocks.comparison.verdicts import GOAL, Comparison, Difference
from convblocks.comparison.wording import (
    MEASURES,
    NOTEBOOK,
    NOTEBOOK_MLP,
    NOTHING,
    difference_text,
    is_notebooks,
    number,
    probability_text,
    settings_text,
)
from convblocks.tables import Table, to_markdown


def as_markdown(findings: Analysis, level: int = 2) -> str:
    """The whole report: what is on the screen, what a reader may believe, and the details."""
    believed = "\n".join(f"- {line}" for line in conclusions(findings))
    on_screen, rest = screen(findings), details(findings)
    blocks = [to_markdown(on_screen, level), believed + "\n", *([to_markdown(rest, level)] if rest else [])]
    return "\n".join(blocks)


def details(findings: Analysis) -> list[Table]:
    """All tables that follow those of the screen."""
    tables: list[Table] = []
    if findings.main:
        runs = compared(findings)
        tables += [notebook_table(findings.main, runs), times_table(runs)]
        tables += _differences(findings.main)
        tables += [every_setting(findings)] if findings.at_settings else []
    else:
        for settings, comparison in findings.at_settings.items():
            title = settings_text(settings, tuple(findings.swept))
            here = [*([claims_table(comparison)] if comparison.claims else []), *_differences(comparison)]
            tables += [replace(table, title=f"{title}: {table.title}") for table in here]
    return [*tables, *([pairs_table(findings)] if findings.pairs else [])]


def notebook_table(comparison: Comparison, outcomes: Sequence[RunResult]) -> Table:
    """The columns of the notebook's own table, over the runs that trained."""
    lines = [
        [
            row.arch,
            f"{row.parameters:,}",
            _spread(row.first_loss, 1, ".3f"),
            _spread(row.last_loss, 1, ".3f"),
            _spread(row.accuracy, 100, ".2f"),
            f"{row.trained} of {row.runs}",
        ]
        for row in comparison.rows
    ]
    if is_notebooks([comparison]):
        lines.insert(1, [NOTEBOOK, *NOTEBOOK_MLP, "1 of 1"])
    columns = ["network", "parameters", MEASURES["first_loss"], MEASURES["last_loss"], "test accuracy %", "trained"]
    notes = ["Mean ± standard deviation of the runs that trained, and the 95 % interval of the mean (Student's t)."]
    return Table("The notebook's table", columns, lines, [*notes, *_deaths(outcomes)])


def times_table(outcomes: Sequence[RunResult]) -> Table:
    """How soon the runs had the accuracy by which networks are called fast."""
    lines = []
    for arch, own in by_arch(outcomes).items():
        found = [time for time in (time_to(one, GOAL) for one in own) if time]
        epochs, seconds = zip(*found, strict=True) if found else ((), ())
        medians = [f"{median(epochs):g}", f"{median(seconds):.1f}"] if found else [NOTHING, NOTHING]
        lines.append([arch, f"{len(found)} of {len(own)}", *medians])
    columns = ["network", "runs that got there", "epochs, median", "seconds, median"]
    return Table(
        f"Time to {100 * GOAL:.0f} % accuracy", columns, lines, ["The medians are of the runs that got there."]
    )


def differences_table(comparison: Comparison) -> Table:
    """Every pair of networks in every measure, in both readings."""
    lines = [_difference_line(one) for one in comparison.differences]
    columns = ["measure", "difference", "n", "if trained: mean [95 %]", "p", "n", "first is better [95 %]", "p"]
    notes = [
        "If trained: the difference of the means of the runs that trained, with a permutation test and the interval "
        "that belongs to it. First is better: how often a run of the first network is better than one of the second, "
        "over all runs, with a permutation test of the ranks. Unpaired: a seed makes two networks no more alike. "
        "Its interval is not that of its p, which may be small where it holds 50 %. "
        "Accuracies in points; p as it is, not corrected for how many there are."
    ]
    return Table("All differences", columns, lines, notes)


def pairs_table(findings: Analysis) -> Table:
    """Neighbouring settings of a grid, one network at a time."""
    options = tuple(findings.swept)
    trained = {
        (one.arch, one.settings): f"{sum(not run.collapsed for run in runs)}/{len(runs)}"
        for own in by_arch(findings.outcomes).values()
        for runs in by_settings(own).values()
        for one in runs[:1]
    }
    lines = [
        [
            pair.arch,
            f"{settings_text(pair.first, options)} - {settings_text(pair.second, options)}",
            f"{trained[pair.arch, pair.first]}, {trained[pair.arch, pair.second]}",
            str(pair.result.n) if pair.result else "0",
            difference_text(pair.result, "accuracy") if pair.result else NOTHING,
            number(pair.result.p) if pair.result else NOTHING,
        ]
        for pair in findings.pairs
    ]
    columns = ["network", "settings", "trained", "pairs", "difference [95 %]", "p"]
    notes = [
        "Neighbours in the grid: test accuracy in points, paired by seed, over the seeds with which both trained; "
        "sign-flip test and the interval that belongs to it. Many pairs are tested here: some p below 0.05 are chance."
    ]
    return Table("Two settings of one network", columns, lines, notes)


def _differences(comparison: Comparison) -> list[Table]:
    return [differences_table(comparison)] if comparison.differences else []


def _difference_line(one: Difference) -> list[str]:
    sizes = [f"{first}, {second}" for first, second in (one.trained_runs, one.runs)]
    result = one.trained
    if isinstance(result, Test):
        trained = [difference_text(result, one.measure), number(result.p)]
    elif isinstance(result, Superiority):
        trained = [f"better in {probability_text(result)}", number(result.p)]
    else:
        trained = [NOTHING, NOTHING]
    name = [MEASURES[one.measure], f"{one.first} - {one.second}"]
    return [*name, sizes[0], *trained, sizes[1], probability_text(one.expected), number(one.expected.p)]


def _spread(mean: Mean | None, scale: float, digits: str) -> str:
    if mean is None:
        return NOTHING
    if mean.n == 1:
        return f"{scale * mean.mean:{digits}}"
    interval = f"[{scale * mean.low:{digits}}, {scale * mean.high:{digits}}]"
    return f"{scale * mean.mean:{digits}} ± {scale * mean.deviation:{digits}} {interval}"


def _deaths(outcomes: Sequence[RunResult]) -> list[str]:
    """The runs that had learned something and lost it."""
    found = [(one, died_in(one)) for one in outcomes]
    return [f"{one.arch}, seed {one.seed}: learned, then died in epoch {epoch}." for one, epoch in found if epoch]

"""The tables of comparison.md that do not fit on one screen: the notebook's table, differences, origin."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from convblocks.compare.analysis import GOAL, Comparison, Difference
from convblocks.compare.grid import Analysis
from convblocks.compare.results import died_in, has_losses, options_text, time_to
from convblocks.compare.wording import (
    MEASURES,
    NOTEBOOK,
    NOTEBOOK_MLP,
    is_notebooks,
    measure_name,
    noun_of,
    settings_text,
)
from convblocks.figures.estimates import NOTHING, SHARE, Estimate, cell, p_number
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.tables import Table
from convblocks.run.result import RunResult

# Of a difference of means.
WELCHS = "Welch's interval (where the two disagree at 5 %, p decides)"


def details(analysis: Analysis) -> list[Table]:
    """All tables that follow those on the screen."""
    tables: list[Table] = []
    if analysis.main:
        if has_losses(analysis.main.results):
            tables += [notebook_table(analysis.main), times_table(analysis.main.results)]
        tables += differences_tables(analysis.main)
    else:
        for overrides, comparison in analysis.at_settings.items():
            title = settings_text(overrides, tuple(analysis.swept))
            tables += [replace(table, title=f"{title}: {table.title}") for table in differences_tables(comparison)]
    runs = [*analysis.results, *analysis.confirmed]
    return [*tables, *origin_tables(runs)]


def origin_tables(results: Sequence[RunResult]) -> list[Table]:
    """The settings of all runs, and the machines and commits that they come from."""
    settings = grouped(
        results,
        lambda one: (one.arch, options_text(one).replace(",", ", "), f"{one.hparams.get('batch_size', NOTHING)}"),
    )
    places = grouped(
        [one.provenance for one in results],
        lambda one: (one.machine, one.device, f"{one.processes} x {one.threads}", one.commit or NOTHING),
    )
    seeds = [[*setting, ", ".join(str(one.seed) for one in own), str(len(own))] for setting, own in settings.items()]
    if not any(one.machine for one in (run.provenance for run in results)):
        return []
    return [
        Table("Settings", [noun_of(results), "options", "batch size", "seeds", "runs"], seeds),
        Table(
            "Where the runs come from",
            ["machine and versions", "device", "processes x threads", "commit", "runs"],
            [[*place, str(len(own))] for place, own in places.items()],
        ),
    ]


def notebook_table(comparison: Comparison) -> Table:
    """The columns of the notebook's own table, over the runs that trained."""
    lines = [
        [
            arm.arch,
            f"{arm.parameters:,}",
            _spread(arm.first_loss),
            _spread(arm.last_loss),
            _spread(arm.score),
            f"{arm.trained_runs} of {arm.runs}",
        ]
        for arm in comparison.arms
    ]
    if is_notebooks([comparison]):
        lines.insert(1, [NOTEBOOK, *NOTEBOOK_MLP, "1 of 1"])
    columns = ["network", "parameters", MEASURES["first_loss"], MEASURES["last_loss"], "test accuracy %", "trained"]
    notes = ["Mean ± standard deviation of the runs that trained, and the 95 % interval of the mean (Student's t)."]
    died = [
        f"{one.arch}, seed {one.seed}: learned, then died in epoch {died_in(one)}."
        for one in comparison.results
        if died_in(one)
    ]
    return Table("The notebook's table", columns, lines, [*notes, *died])


def times_table(results: Sequence[RunResult]) -> Table:
    """How soon the runs reached ``GOAL``."""
    lines = []
    for arch, own in by_arch(results).items():
        reached = [time for time in (time_to(one, GOAL) for one in own) if time]
        epochs, seconds = zip(*reached, strict=True) if reached else ((), ())
        medians = [f"{median(epochs):g}", f"{median(seconds):.1f}"] if reached else [NOTHING, NOTHING]
        lines.append([arch, f"{len(reached)} of {len(own)}", *medians])
    columns = ["network", "runs that got there", "epochs, median", "seconds, median"]
    notes = ["The medians are of the runs that got there."]
    return Table(f"Time to {100 * GOAL:.0f} % accuracy", columns, lines, notes)


def differences_tables(comparison: Comparison, interval: str = WELCHS) -> list[Table]:
    """Every pair of networks in every measure and both readings, if there are several networks.

    ``interval`` is that of the differences of means, in words.
    """
    points = "Accuracies in points; " if comparison.judge.in_percent else ""
    columns = ["measure", "difference", "n", "if trained: mean [95 %]", "p", "n", "first is better [95 %]", "p"]
    notes = [
        "If trained: the difference of the means of the runs that trained, with a permutation test of Welch's t and "
        f"{interval}. First is better: the probability, over all runs, that one of the first "
        "network is better than one of the second, with a permutation test of Brunner and Munzel's statistic. With "
        "many runs neither needs two networks' runs to vary by as much; with few and unequal numbers of runs they may "
        "still err somewhat more often than stated. Unpaired: a seed does not make two networks alike. "
        "The interval of the probability does not belong to its p: with p near 0.05 it may still hold 50 %. "
        f"{points}p without a correction for the number of tests."
    ]
    lines = [_difference_line(comparison, one) for one in comparison.differences]
    return [Table("All differences", columns, lines, notes)] if lines else []


def _difference_line(comparison: Comparison, one: Difference) -> list[str]:
    trained = cell(one.trained, "+")
    if one.trained and one.trained.unit == SHARE:
        trained = f"better in {trained}"
    sizes = [f"{first}, {second}" for first, second in (one.trained_runs, one.runs)]
    p_values = [p_number(one.trained.p) if one.trained else NOTHING, p_number(one.all_runs.p)]
    names = [measure_name(comparison, one.measure), f"{one.first} - {one.second}"]
    return [*names, sizes[0], trained, p_values[0], sizes[1], str(one.all_runs), p_values[1]]


def _spread(mean: Estimate | None) -> str:
    """``0.277 ± 0.004 [0.274, 0.280]``."""
    return NOTHING if mean is None else f"{mean.spread()} {mean.interval()}".rstrip()

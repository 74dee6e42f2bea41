"""A comparison's report: its tables, the conclusions in a few sentences, a figure, and a line for each run."""

import math
from collections.abc import Sequence
from functools import partial

from convblocks.compare.analysis import Comparison, best_settings, compare, option_values, summarise
from convblocks.compare.figure import comparison_figure
from convblocks.compare.ranking import ranking
from convblocks.compare.tables import as_row, differences_table, results_table
from convblocks.figures.grouping import grouped
from convblocks.figures.page import Chart
from convblocks.figures.report import Report
from convblocks.run.result import RunResult


def report_of(results: Sequence[RunResult], confirmed: Sequence[RunResult] = (), repeat: str = "") -> Report:
    """The report of a comparison, at the only setting or at the best ones of a grid.

    Without validation data it has all settings of the grid, since none may be chosen.

    Args:
        results: Of all trials.
        confirmed: Those with fresh seeds at the settings that a grid chose.
        repeat: The command that makes the report again.
    """
    swept, judge, tables = tuple(option_values(results, least=2)), results[0].judge, []
    main = compare(chosen) if (chosen := confirmed or (best_settings(results) if swept else results)) else None
    if main:
        title = "Each network at its own best setting" if swept else "Results"
        fresh = "; these are runs with fresh seeds" * bool(confirmed)
        note = f"Each setting was chosen by its mean {judge.name_of(judge.metric)}{fresh}."
        tables.append(results_table(title, main.arms, main.results, swept, [note] if swept else []))
    if swept:
        arms = grouped(results, lambda run: (run.overrides, run.arch)).values()
        tables.append(results_table("Every setting", [*map(summarise, arms)], results, swept, key="settings"))
    if main and main.differences:
        tables.append(differences_table(main))
    when = "At each setting" if swept else "By epoch, and at the end"
    caption = f"{when}: every run, and the means of those that trained"
    runs = (*results, *confirmed)
    return Report(
        name="comparison",
        tables=tables[:1],
        sentences=conclusions(results, main),
        details=tables[1:],
        figures={"": Chart(partial(comparison_figure, results, swept), caption)},
        runs=[as_row(run) for run in runs],
        repeat=repeat,
    )


def conclusions(results: Sequence[RunResult], comparison: Comparison | None) -> list[str]:
    """The conclusions, in a few sentences; there is no comparison if nothing could be chosen from a grid."""
    if comparison is None:
        how = "add --data.val_size 5000 for images, or a --judge that is measured on such data"
        return [f"Nothing was chosen from the grid, since that takes validation data: {how}."]
    machines = sorted({run.provenance.machine for run in results})
    return [
        *ranking(comparison),
        *test_set_note(comparison),
        *([f"These runs are of {len(machines)} machines or versions: {'; '.join(machines)}."] if machines[1:] else []),
    ]


def test_set_note(comparison: Comparison) -> list[str]:
    """The uncertainty that the choice of test images adds, of runs on images."""
    if not (images := comparison.results[0].facts.get("images")):
        return []
    worst = min((arm.score.value for arm in comparison.arms if arm.score), default=0.5)
    points = 196 * math.sqrt(worst * (1 - worst) / images["test"])
    return [
        f"The test set is a sample too: with {images['test']:,} other images an accuracy could come out {points:.1f} "
        "points higher or lower. The intervals are for other seeds, not for other images."
    ]

"""A comparison's report: its tables, the conclusions in a few sentences, a figure, and a line for each run."""

import math
from functools import partial

from convblocks.compare.analysis import Analysis, Comparison, edges, summarise
from convblocks.compare.figure import comparison_figure, sweep_figure
from convblocks.compare.ranking import ranking
from convblocks.compare.tables import as_row, differences_table, origin_tables, results_table
from convblocks.compare.wording import name_of
from convblocks.figures.grouping import grouped
from convblocks.figures.page import Chart
from convblocks.figures.report import Report
from convblocks.figures.tables import Table


def report_of(analysis: Analysis, more: tuple[str, str] = ("", ""), repeat: str = "") -> Report:
    """The report of a comparison; without validation data all settings of a grid, of which none may be chosen.

    ``more`` is a last sentence, and the command that it announces; ``repeat`` is the command that makes it again.
    """
    results, swept, main = analysis.results, tuple(analysis.swept), analysis.main
    judge, tables = results[0].judge, list[Table]()
    if main:
        title = "Each network at its own best setting" if swept else "Results"
        fresh = "; these are runs with fresh seeds" * bool(analysis.confirmed)
        chosen = f"Each setting was chosen by its mean {judge.name_of(judge.metric)}{fresh}."
        tables.append(results_table(title, main.arms, main.results, swept, [chosen] if swept else []))
    if swept:
        arms = grouped(results, lambda run: (run.overrides, run.arch)).values()
        tables.append(results_table("Every setting", [*map(summarise, arms)], results, swept, key="settings"))
    if main and main.differences:
        tables.append(differences_table(main))
    draw, when = (sweep_figure, "At each setting") if swept else (comparison_figure, "By epoch, and at the end")
    runs = (*results, *analysis.confirmed)
    drawn = [run for run in results if swept or main is None or run.arch in main.compared]
    return Report(
        name="comparison",
        tables=tables[:1],
        sentences=[*conclusions(analysis), *filter(None, more[:1])],
        command=more[1],
        details=[*tables[1:], *origin_tables(runs)],
        figures={"": Chart(partial(draw, drawn), f"{when}: every run, and the means of those that trained")},
        runs=[as_row(run) for run in runs],
        repeat=repeat,
    )


def conclusions(analysis: Analysis) -> list[str]:
    """The conclusions, in a few sentences."""
    if analysis.main is None:
        how = "add --data.val_size 5000 for images, or a --judge that is measured on such data"
        return [f"Nothing was chosen from the grid, since that takes validation data: {how}."]
    found, machines = edges(analysis), sorted({run.provenance.machine for run in analysis.results})
    return [
        *ranking(analysis.main),
        *those_compared(analysis.main),
        *([f"Extend the grid: the best value lies at its edge for {', '.join(found)}."] if found else []),
        *test_set_note(analysis.main),
        *([f"These runs are of {len(machines)} machines or versions: {'; '.join(machines)}."] if machines[1:] else []),
    ]


def those_compared(comparison: Comparison) -> list[str]:
    """Which networks are compared, of many."""
    if (count := len(comparison.arms)) == (fewer := len(comparison.compared)):
        return []
    these = f"{fewer} are drawn and compared, the best and {name_of(comparison.compared[0])}"
    return [f"Of {count:,} networks {these}; p is corrected for all {comparison.pairs:,} pairs."]


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

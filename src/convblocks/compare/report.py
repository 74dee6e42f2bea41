"""A comparison's report: its tables, the conclusions in a few sentences, a figure, and
a line for each run.
"""

from collections.abc import Sequence
from functools import partial

from matplotlib.figure import Figure

from convblocks.compare.analysis import (
    MOST_PAIRED,
    Comparison,
    best_settings,
    compare,
    named_by_setting,
    summarise,
    swept_options,
)
from convblocks.compare.conclusions import conclusions, more_runs, title_of
from convblocks.compare.figure import comparison_figure
from convblocks.compare.tables import as_row, differences_table, results_table
from convblocks.figures.curves import LONGEST_NAME
from convblocks.figures.grouping import grouped
from convblocks.figures.report import Chart, Report
from convblocks.figures.style import NARROW, WIDTH
from convblocks.figures.tables import Table
from convblocks.record.result import Results

# A caption's words for the marks in figures.
MARKS = "every run, and the means of those that trained"


def report_of(results: Results, confirmed: Results = (), repeat: str = "", jobs: int = 0) -> Report:
    """The report of a comparison, at the only setting or at the best ones of a grid.

    One network's settings are compared with each other. Without validation data the
    report has all settings of the grid, since none may be chosen.

    Args:
        results: The results of all trials.
        confirmed: The results with fresh seeds at the settings that a grid has chosen.
        repeat: The command that makes the report again.
        jobs: How many runs it trains at a time; 0 if it trains none.
    """
    swept = swept_options(results)
    settings = named_by_setting(results)
    compared = compare(settings, of_settings=True) if settings else None
    main = compared
    if confirmed or not settings:
        chosen = confirmed or (best_settings(results) if swept else results)
        main = compare(chosen) if chosen else None
        compared = compared or main
    tables = []
    if main:
        tables.append(main_table(main, swept, results[0].arch, bool(confirmed)))
    if swept:
        arms = grouped(results, lambda run: (run.overrides, run.arch)).values()
        every = [*map(summarise, arms)]
        tables.append(results_table("Every setting", every, results, swept, key="settings"))
    if compared and compared.differences:
        tables.append(differences_table(compared))
    more, command = more_runs(compared, results, confirmed, repeat, jobs)
    return Report(
        name="comparison",
        tables=tables[:1],
        sentences=[*conclusions(results, compared, confirmed), *more],
        details=tables[1:],
        figures=charts_of(results, confirmed, swept, compared),
        runs=[as_row(run) for run in (*results, *confirmed)],
        command=command,
        repeat=repeat,
    )


def main_table(
    comparison: Comparison, swept: Sequence[str], network: str, confirmed: bool
) -> Table:
    """The table of the networks, or of the settings of one."""
    arms, results = comparison.arms, comparison.results
    if comparison.of_settings:
        return results_table(
            f"Every setting of {network}",
            arms,
            results,
            kind="setting",
            baseline="the baseline",  # its name may be long
        )
    if not swept:
        return results_table("Results", arms, results)
    judge = results[0].judged_by
    fresh = "; these are runs with fresh seeds" if confirmed else ""
    note = f"Each setting was chosen by its mean {judge.name_of(judge.metric)}{fresh}."
    return results_table("Each network at its own best setting", arms, results, swept, [note])


def charts_of(
    results: Results, confirmed: Results, swept: Sequence[str], comparison: Comparison | None
) -> dict[str, Chart]:
    """The figure of the runs that are compared and, if these are fresh ones, that of the
    grid.
    """
    figures = {"": partial(figure_of, results, swept, comparison)}
    if comparison and comparison.results is confirmed:
        figures = {
            "": partial(figure_of, confirmed, swept, comparison),
            "grid": partial(figure_of, [run.as_tuned() for run in results], swept, None),
        }
    finding = title_of(comparison)
    return {
        end: Chart(
            draw,
            ": ".join(filter(None, ["" if end else finding, MARKS])),
            [partial(draw, on_page=WIDTH), partial(draw, on_page=NARROW)],
        )
        for end, draw in figures.items()
    }


def figure_of(
    results: Results, swept: Sequence[str], comparison: Comparison | None, on_page: float = 0
) -> Figure:
    """The curves of networks or of a few settings with short names; else final scores.

    Above stands the finding, unless it is as wide as a page asks that has it as text.
    """
    finding = "" if on_page else title_of(comparison)
    if comparison and comparison.of_settings:
        names = [arm.arch for arm in comparison.arms]
        if len(names) <= MOST_PAIRED and max(map(len, names)) <= LONGEST_NAME:
            results, swept = comparison.results, ()
    return comparison_figure(results, swept, finding, on_page or WIDTH)

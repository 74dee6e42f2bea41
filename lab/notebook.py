"""The notebook's networks as the paper compares them: by its columns, and by the time
to an accuracy.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from convblocks.compare import tables
from convblocks.compare.analysis import Comparison, Summary, unit_of
from convblocks.compare.statistics import mean_interval
from convblocks.figures.estimates import LOSS, SECONDS, Estimate, number_range
from convblocks.figures.grouping import grouped
from convblocks.figures.tables import Column, Table
from convblocks.model.class_specs import CONSTANT
from convblocks.run.result import RunResult
from lab.differences import FIRST_LOSS, LAST_LOSS, Measure, Measured, every_pair, score_of
from lab.results import time_to

# Networks are compared by their time to this accuracy if the loss of the first epoch
# depends on the schedule.
GOAL = 0.98

NOTEBOOK = "notebook's mlp"

# What the course's notebook prints for its MLP, after 5 epochs of a single run: losses
# and accuracy.
NOTEBOOK_MLP = ("0.28", "0.16", "95.38")


def seconds_to_goal(result: RunResult) -> float:
    return time_to(result, GOAL) or math.inf


TIME = Measure(f"seconds to {100 * GOAL:.0f} % accuracy", seconds_to_goal, -1, SECONDS)


def in_every_measure(comparison: Comparison) -> list[Measured]:
    """The differences in speed, loss and accuracy; in speed by the first loss, unless
    it depends on the schedule.
    """
    results = comparison.results
    schedules = {run.hparams.get("lr_scheduler") for run in results}
    measures = [score_of(results)]
    if all("train/loss" in run.epochs[0] for run in results):
        speed = FIRST_LOSS if schedules == {CONSTANT} else TIME
        measures = [speed, LAST_LOSS, *measures]
    return every_pair(comparison, measures)


def results_table(
    title: str,
    comparisons: Sequence[Comparison],
    swept: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Table:
    """The table of reports with the worst and best runs instead of losses, which pages
    have in a table of their own.
    """
    results = [run for one in comparisons for run in one.results]
    arms = [arm for one in comparisons for arm in one.arms]
    table = tables.results_table(title, arms, results, swept, notes)
    runs = grouped(results, lambda run: (run.arch, run.overrides))
    unit = unit_of(results)

    def ends(arm: Summary) -> str:
        """With the scores of the runs that collapsed."""
        own = runs[arm.arch, arm.overrides]
        trained = sorted(run.score for run in own if not run.failed)
        collapsed = sorted(run.score for run in own if run.failed)
        lines = [number_range(trained[:1] + trained[-1:], unit)]
        if collapsed:
            lost = number_range(collapsed[:1] + collapsed[-1:], unit)
            lines.append(f"({len(collapsed)} at {lost})")
        return "\n".join(filter(None, lines))

    columns = [column for column in table.fields if not column.key.endswith("_loss")]
    place = next(number for number, column in enumerate(columns, start=1) if column.key == "sd")
    columns.insert(place, Column("worst–best", ends))
    return replace(table, columns=columns)


def mean_losses(comparison: Comparison, arch: str) -> list[Estimate | None]:
    """The mean losses of the first and the last epoch, over a network's runs that
    trained; None if none did.
    """
    trained = [run for run in comparison.results if run.arch == arch and not run.failed]
    return [
        mean_interval([*map(one.value, trained)], LOSS) if trained else None
        for one in (FIRST_LOSS, LAST_LOSS)
    ]

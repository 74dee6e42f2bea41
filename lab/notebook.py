"""The notebook's networks as the paper compares them: by its columns, and by the time to an accuracy."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from convblocks.compare import tables
from convblocks.compare.analysis import Comparison, Difference, Summary, compare, unit_of
from convblocks.compare.statistics import mean_interval
from convblocks.compare.trials import NO_SETTINGS
from convblocks.figures.estimates import LOSS, NOTHING, SECONDS, Estimate, cell, number_range
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.tables import Column, Table
from convblocks.model.class_specs import CONSTANT
from convblocks.run.result import Overrides, RunResult
from lab.differences import FIRST_LOSS, LAST_LOSS, Measure, Measured, every_pair, score_of
from lab.estimates import spread
from lab.results import died_in, is_number, is_of_mnist, time_to
from lab.statistics import exact_permutation_test

# Networks are compared by their time to this accuracy if the loss of the first epoch depends on the schedule.
GOAL = 0.98

NOTEBOOK = "notebook's mlp"

# What the course's notebook prints for its MLP, after 5 epochs of a single run: parameters, losses, accuracy.
NOTEBOOK_MLP = ("79,510", "0.28", "0.16", "95.38")

# The settings of that run; any other option must not be set, but for those of NO_INFLUENCE.
NOTEBOOK_SETTINGS = {
    "epochs": "5",
    "lr": "0.01",
    "batch_size": "64",
    "optimizer": "adam",
    "lr_scheduler": "constant",
    "data.val_size": "0",
}
NO_INFLUENCE = ("threads", *NO_SETTINGS)


def seconds_to_goal(result: RunResult) -> float:
    reached = time_to(result, GOAL)
    return reached[1] if reached else math.inf


TIME = Measure(f"seconds to {100 * GOAL:.0f} % accuracy", seconds_to_goal, -1, SECONDS)


def compare_networks(results: Sequence[RunResult]) -> Comparison:
    """Compare networks as reports do, with the intervals of means that belong to their p-values."""
    comparison, runs = compare(results), by_arch(run for run in results if not run.failed)

    def exact(found: Difference) -> Difference:
        if not found.trained:
            return found
        first, second = ([run.score for run in runs[arch]] for arch in (found.first, found.second))
        return replace(found, trained=exact_permutation_test(first, second, found.trained.unit))

    differences = {found: exact(found) for found in comparison.differences}
    arms = [replace(arm, against=arm.against and differences[arm.against]) for arm in comparison.arms]
    return replace(comparison, arms=tuple(arms), differences=tuple(differences.values()))


def in_every_measure(comparison: Comparison) -> list[Measured]:
    """The differences in speed, loss and accuracy; in speed by the first loss, unless it depends on the schedule."""
    results = comparison.results
    schedules = {run.hparams.get("lr_scheduler") for run in results}
    losses = (
        [FIRST_LOSS if schedules == {CONSTANT} else TIME, LAST_LOSS]
        if all("train/loss" in run.epochs[0] for run in results)
        else []
    )
    return every_pair(comparison, [*losses, score_of(results)])


def results_table(
    title: str, comparisons: Sequence[Comparison], swept: Sequence[str] = (), notes: Sequence[str] = ()
) -> Table:
    """The table of reports with the worst and best runs instead of losses, which pages have in a table of their own."""
    results = [run for one in comparisons for run in one.results]
    table = tables.results_table(title, [arm for one in comparisons for arm in one.arms], results, swept, notes)
    runs, unit = grouped(results, lambda run: (run.arch, run.overrides)), unit_of(results)

    def ends(arm: Summary) -> str:
        """With the scores of the runs that collapsed."""
        own = runs[arm.arch, arm.overrides]
        trained, collapsed = (sorted(run.score for run in own if run.failed == failed) for failed in (False, True))
        lost = f"({len(collapsed)} at {number_range(collapsed[:1] + collapsed[-1:], unit)})" if collapsed else ""
        return "\n".join(filter(None, [number_range(trained[:1] + trained[-1:], unit), lost]))

    columns = [column for column in table.fields if not column.key.endswith("_loss")]
    place = next(number for number, column in enumerate(columns, start=1) if column.key == "sd")
    return replace(table, columns=[*columns[:place], Column("worst–best", ends), *columns[place:]])


def differences_table(comparison: Comparison) -> Table:
    """The table of reports, in every measure."""
    table = tables.differences_table(comparison, interval="the interval that belongs to it")

    def trained(row: Measured) -> str:
        return f"{'better in ' if row.trained and not row.means else ''}{cell(row.trained, signed=True)}"

    columns = [replace(column, text=trained) if column.key == "trained" else column for column in table.fields]
    return replace(
        table, columns=[Column("measure", lambda row: row.measure.name), *columns], rows=in_every_measure(comparison)
    )


def notebook_table(comparison: Comparison) -> Table:
    """The columns of the notebook's own table, over the runs that trained."""
    lines = [
        [
            arm.arch,
            f"{arm.parameters:,}",
            *(_spread(loss) for loss in mean_losses(comparison, arm.arch)),
            _spread(arm.score),
            f"{arm.trained_runs} of {arm.runs}",
        ]
        for arm in comparison.arms
    ]
    if is_notebooks(comparison):
        lines.insert(1, [NOTEBOOK, *NOTEBOOK_MLP, "1 of 1"])
    columns = ["network", "parameters", FIRST_LOSS.name, LAST_LOSS.name, "test accuracy %", "trained"]
    notes = ["Mean ± standard deviation of the runs that trained, and the 95 % interval of the mean (Student's t)."]
    died = [
        f"{run.arch}, seed {run.seed}: learned, then died in epoch {died_in(run)}."
        for run in comparison.results
        if died_in(run)
    ]
    return Table("The notebook's table", columns, lines, [*notes, *died])


def mean_losses(comparison: Comparison, arch: str) -> list[Estimate | None]:
    """The mean losses of the first and the last epoch, over a network's runs that trained; None if none did."""
    trained = [run for run in comparison.results if run.arch == arch and not run.failed]
    return [mean_interval([*map(one.value, trained)], LOSS) if trained else None for one in (FIRST_LOSS, LAST_LOSS)]


def times_table(results: Sequence[RunResult]) -> Table:
    """How soon the runs reached ``GOAL``."""
    lines = []
    for arch, runs in by_arch(results).items():
        reached = [time for time in (time_to(run, GOAL) for run in runs) if time]
        epochs, seconds = zip(*reached, strict=True) if reached else ((), ())
        medians = [f"{median(epochs):g}", f"{median(seconds):.1f}"] if reached else [NOTHING, NOTHING]
        lines.append([arch, f"{len(reached)} of {len(runs)}", *medians])
    columns = ["network", "runs that got there", "epochs, median", "seconds, median"]
    notes = ["The medians are of the runs that got there."]
    return Table(f"Time to {100 * GOAL:.0f} % accuracy", columns, lines, notes)


def is_notebooks(comparison: Comparison) -> bool:
    """Whether the MLP was trained as in the notebook, whose figures are of these settings and of MNIST."""
    arm = comparison.arms[0]
    return arm.arch == "mlp" and all(map(is_of_mnist, comparison.results)) and _are_notebooks(arm.overrides)


def _are_notebooks(overrides: Overrides) -> bool:
    given = {option: value for option, value in overrides if option not in NO_INFLUENCE}
    return given.get("epochs") == "5" and all(
        _same(value, NOTEBOOK_SETTINGS.get(option, "")) for option, value in given.items()
    )


def _same(value: str, other: str) -> bool:
    return float(value) == float(other) if is_number(value) and is_number(other) else value == other


def _spread(mean: Estimate | None) -> str:
    """``0.277 ± 0.004 [0.274, 0.280]``."""
    return NOTHING if mean is None else f"{spread(mean)} {mean.interval()}".rstrip()

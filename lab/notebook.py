"""The notebook's networks as the paper compares them: by its columns, and by the time to an accuracy."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from convblocks.compare import tables
from convblocks.compare.analysis import FIRST_LOSS, LAST_LOSS, Comparison, Measure, Test, compare, score_of
from convblocks.compare.results import has_losses, is_number
from convblocks.compare.trials import NO_SETTINGS
from convblocks.figures.estimates import NOTHING, SECONDS, Estimate
from convblocks.figures.grouping import by_arch
from convblocks.figures.tables import Table
from convblocks.model.class_specs import CONSTANT
from convblocks.run.result import Overrides, RunResult
from lab.estimates import spread
from lab.results import died_in, is_of_mnist, time_to
from lab.statistics import exact_permutation_test

# The test of two means of all pages.
TEST: Test = exact_permutation_test

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
    """Compare networks in speed, loss and accuracy; in speed by the first loss, unless it depends on the schedule."""
    schedules = {run.hparams.get("lr_scheduler") for run in results}
    losses = [FIRST_LOSS if schedules == {CONSTANT} else TIME, LAST_LOSS] if has_losses(results) else []
    return compare(results, TEST, [*losses, score_of(results)])


def results_table(
    title: str, comparisons: Sequence[Comparison], swept: Sequence[str] = (), notes: Sequence[str] = ()
) -> Table:
    """The table of reports without the columns of losses, which pages have in a table of their own."""
    table = tables.results_table(title, comparisons, swept, notes)
    columns = [column for column in table.fields if not column.key.endswith("_loss")]
    return replace(table, columns=columns, notes=[note for note in table.notes if note != tables.LOSSES])


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

"""What docs/lab/experiments.md says of the settings in configs/: what they reach, and
from which they were chosen; and the seconds of the study's runs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convblocks.compare.analysis import compare
from convblocks.compare.statistics import mean_interval
from convblocks.figures.estimates import PERCENT, SECONDS
from convblocks.figures.grouping import grouped
from convblocks.figures.tables import Table
from convblocks.record.result import RunResult
from lab import NETWORKS
from lab.benchmarks.rows import Labels, Results
from lab.estimates import count_text, spread
from lab.pages import operations
from lab.pages.writing import read_raw_numbers, table

# The most candidates for a setting that a table shows.
CANDIDATES = 4

# The accuracy that quick.yaml is to reach; that of sprint.yaml is FAST. The board
# counts the seconds to both.
ACCURATE = 0.995


def setting_tables(results: Sequence[RunResult]) -> list[Table]:
    """What a setting reaches on the test set."""
    return [operations.networks_table(compare(results))]


def candidates_tables(results: Sequence[RunResult]) -> list[Table]:
    """The best candidates by held-out images, of one network."""
    scores = {}
    for overrides, runs in grouped(results, lambda run: run.overrides).items():
        held_out = [run.validation or 0.0 for run in runs]
        scores[Path(dict(overrides)["config"]).name] = mean_interval(held_out, PERCENT)
    ranked = sorted(scores.items(), key=lambda item: item[1].value, reverse=True)
    rows = [
        {results[0].arch: f"[{name}](../data/candidates/{name})", "held-out %": spread(score)}
        for name, score in ranked
    ]
    return [table("", rows[:CANDIDATES], f"The best {CANDIDATES} of {len(rows)}.")]


def share_text(goal: float) -> str:
    """``99 %`` or ``99.5 %``."""
    return f"{100 * goal:g} %"


def time_tables(results: Sequence[RunResult], goal: float) -> list[Table]:
    """How many runs end at the goal or above, and in which time, a line for each
    precision; every run counts.
    """
    by_precision = grouped(results, lambda run: dict(run.overrides)["trainer.precision"])
    rows = []
    for precision, runs in by_precision.items():
        reached = sum(run.score >= goal for run in runs)
        rows.append(
            {
                "precision": precision,
                f"{share_text(goal)} after the last epoch": count_text(reached, len(runs)),
                "seconds": f"{mean_interval([run.seconds for run in runs], SECONDS)}",
                "test accuracy %": f"{mean_interval([run.score for run in runs], PERCENT)}",
            }
        )
    note = """
        Seconds of training and evaluation from the first step to the
        last, of another day than performance.md's.
    """
    return [table("", rows, note)]


def seconds_of_epochs(data: Path) -> dict[str, float]:
    """Seconds of a network's epoch on one thread, with its evaluation: medians of the rounds in
    ``performance.json``.
    """
    measured = read_raw_numbers(data, "performance", Results)
    case: Labels = {"part": "training", "variant": "fit", "threads": "one", "precision": "32-true"}
    return {arch: measured.median("epoch", **case, arch=arch) for arch in NETWORKS}


def at_measured_speed(results: Sequence[RunResult], data: Path) -> list[RunResult]:
    """The study's runs with the seconds that performance.md measured; their own are worth
    nothing, as they shared their machine with other work.
    """
    seconds = seconds_of_epochs(data)
    found = []
    for run in results:
        epochs = tuple(row | {"seconds": seconds[run.arch]} for row in run.epochs)
        found.append(replace(run, epochs=epochs, evaluations=()))
    return found

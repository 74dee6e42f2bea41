"""What docs/lab/experiments.md says of the settings in configs/: what they reach, and from which they were chosen."""

from collections.abc import Sequence
from pathlib import Path

from convblocks.compare.analysis import summarise
from convblocks.compare.statistics import SIGNIFICANCE, mean_interval
from convblocks.figures.estimates import PERCENT, SECONDS, Estimate, cell, p_text
from convblocks.figures.grouping import grouped
from convblocks.figures.tables import Table
from convblocks.run.result import RunResult
from lab.estimates import count_text, spread
from lab.notebook import compare_networks
from lab.pages import operations
from lab.pages.writing import table
from lab.results import by_overrides
from lab.statistics import sign_flip_test
from lab.study.decision import EQUIVALENT

# The most candidates for a setting that a table shows.
CANDIDATES = 4

# The accuracy that quick.yaml is to reach; that of sprint.yaml is FAST. The board counts the seconds to both.
ACCURATE = 0.995


def setting_tables(results: Sequence[RunResult]) -> list[Table]:
    """What a setting reaches on the test set."""
    return [operations.networks_table(compare_networks(results))]


def candidates_tables(results: Sequence[RunResult]) -> list[Table]:
    """The best candidates by held-out images, of one network."""
    scores = {
        Path(dict(overrides)["config"]).name: mean_interval([run.validation or 0.0 for run in runs], PERCENT)
        for overrides, runs in by_overrides(results).items()
    }
    ranked = sorted(scores.items(), key=lambda item: item[1].value, reverse=True)
    rows = [
        {results[0].arch: f"[{name}](../data/candidates/{name})", "held-out %": spread(score)} for name, score in ranked
    ]
    return [table("", rows[:CANDIDATES], f"The best {CANDIDATES} of {len(rows)}.")]


def share_text(goal: float) -> str:
    """``99 %`` or ``99.5 %``."""
    return f"{100 * goal:g} %"


def time_tables(results: Sequence[RunResult], goal: float) -> list[Table]:
    """How many runs end at the goal or above, and in which time, a line for each precision; every run counts."""
    rows = []
    for precision, runs in grouped(results, lambda run: dict(run.overrides)["trainer.precision"]).items():
        rows.append(
            {
                "precision": precision,
                f"{share_text(goal)} after the last epoch": count_text(
                    sum(run.score >= goal for run in runs), len(runs)
                ),
                "seconds": f"{mean_interval([run.seconds for run in runs], SECONDS)}",
                "test accuracy %": f"{mean_interval([run.score for run in runs], PERCENT)}",
            }
        )
    return [table("", rows, "Seconds of training and evaluation from the first step to the last.")]


def channels_tables(first: Sequence[RunResult], last: Sequence[RunResult]) -> list[Table]:
    """Test accuracy of two networks with the same initial weights, and their difference, paired by seed."""
    lines = [
        (name, f"{arm.trained_runs} of {arm.runs}", cell(arm.score))
        for name, arm in (("channels first", summarise(first)), ("channels last", summarise(last)))
    ]
    difference = paired_difference(first, last)
    lines.append(("first - last", f"{difference.n} pairs", f"{difference:+}"))
    note = (
        f"The difference is in points, paired by seed, with the sign-flip test ({p_text(difference.p)}) and its own "
        f"interval. {_memory_verdict(difference)}"
    )
    return [Table("", ["order of memory", "n", "test accuracy %"], lines, [note])]


def paired_difference(first: Sequence[RunResult], second: Sequence[RunResult]) -> Estimate:
    """The difference in accuracy, paired by seed, over the pairs that trained.

    The same seed gives the same initial weights and order of images.
    """
    scores, others = ({run.seed: run.score for run in runs if not run.failed} for runs in (first, second))
    return sign_flip_test([score - others[seed] for seed, score in scores.items() if seed in others])


def _memory_verdict(difference: Estimate) -> str:
    """Which order should be the default, by the study's limits."""
    if difference.p < SIGNIFICANCE:
        return f"Channels {'first' if difference.value > 0 else 'last'} should be the default."
    if max(-difference.low, difference.high) < EQUIVALENT:
        return f"They are equivalent within {100 * EQUIVALENT:.2f} points."
    return (
        f"Undecided: a difference of more than {100 * EQUIVALENT:.2f} points is possible. channels_last stays the "
        "default, since it is faster."
    )

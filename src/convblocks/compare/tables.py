"""A comparison's tables, with a line for each network or each difference; and the rows of its
CSV file, one for each run.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

from convblocks.compare.analysis import Comparison, Summary, unit_of
from convblocks.compare.trials import settings_text
from convblocks.figures.estimates import COUNT, LOSS, P_VALUE
from convblocks.figures.tables import Column, Table
from convblocks.record.result import Results, RunResult


def results_table(
    title: str,
    arms: Sequence[Summary],
    results: Results,
    swept: Sequence[str] = (),
    notes: Sequence[str] = (),
    key: str = "results",
    kind: str = "network",
    baseline: str = "",
) -> Table:
    """A line for each network at a setting, from summaries of the results; ``swept``
    are the options of a grid, ``kind`` is what the first column names, ``baseline``
    what stands for the name of the first.
    """
    baseline = baseline or next((arm.against.second for arm in arms if arm.against), "")
    chance = results[0].facts.get("chance")
    origin = results[0].provenance
    collapsed = "diverges"
    if not origin.device:  # from a file, which names machines if it is a comparison.csv
        collapsed = "has no score" + " or its file says so" * bool(origin.machine)
    if chance:
        collapsed += f", or ends at chance (at most {100 * chance:.1f} %) and cannot recover"
    notes = [
        *notes,
        f"[...]: 95 % intervals. A run has collapsed if it {collapsed}; means in this table leave "
        "such runs out.",
    ]
    if baseline:
        notes.append(
            f"P(beats {baseline}): the probability that a run beats one of {baseline}; "
            "collapsed runs come last. Minus "
            f"{baseline}: the intervals are adjusted for the number of differences; without one "
            "there are too few runs for an interval."
        )
    return Table(title, columns_of(results, swept, baseline, kind), arms, notes, key)


def columns_of(results: Results, swept: Sequence[str], baseline: str, kind: str) -> list[Column]:
    """The columns of the table of networks, whose rows are summaries, the verdict's
    first: a phone shows these.

    The setting and validation are those of a grid; the losses are the notebook's.
    """
    unit = unit_of(results)
    name = results[0].score_name.removeprefix("test ")

    def setting(arm: Summary) -> str | None:
        return settings_text(arm.overrides, swept).replace(", ", ",\n") if swept else None

    def trained(arm: Summary) -> str:
        return f"{arm.trained_runs}/{arm.runs}\n{arm.trained.interval()}"

    known = partial(Column, optional=True)
    return [
        Column(kind, attrgetter("arch"), key="arch"),
        known("setting", setting, key="setting"),
        known(
            "validation",
            lambda arm: arm.validation if swept else None,
            unit,
            priority=4,
            key="validation",
        ),
        Column(
            f"{name}\nif trained",
            lambda arm: arm.score and replace(arm.score, unit=unit),
            key="score",
        ),
        known(
            f"P(beats\n{baseline})", lambda arm: arm.against and arm.against.all_runs, key="better"
        ),
        known(
            f"minus {baseline}\nif trained",
            lambda arm: arm.against and arm.against.trained,
            signed=True,
            key="minus",
        ),
        Column("trained", attrgetter("trained"), key="trained", text=trained),
        known("first train\nloss", attrgetter("first_loss"), LOSS, priority=0, key="first_loss"),
        known("last train\nloss", attrgetter("last_loss"), LOSS, priority=0, key="last_loss"),
        Column("sd", lambda arm: arm.score and arm.score.deviation, unit, priority=1, key="sd"),
        known(
            "parameters", lambda arm: arm.parameters or None, COUNT, priority=3, key="parameters"
        ),
        known("seconds\nper run", lambda arm: arm.seconds or None, COUNT, priority=2),
    ]


def differences_table(comparison: Comparison) -> Table:
    """Every pair of networks in both readings."""
    columns = [
        Column("difference", lambda row: f"{row.first} minus {row.second}", key="difference"),
        Column("n (mean)", lambda row: "{}, {}".format(*row.trained_runs)),
        Column("if trained: mean [95 %]", attrgetter("trained"), signed=True, key="trained"),
        Column("p (mean)", lambda row: row.trained and row.trained.p, P_VALUE),
        Column("n (better)", lambda row: "{}, {}".format(*row.runs)),
        Column("first is better [95 %]", attrgetter("all_runs"), key="all_runs"),
        Column("p (better)", attrgetter("all_runs.p"), P_VALUE),
    ]
    note = (
        "If trained: the difference of the means of the runs that trained, with a permutation "
        "test of Welch's t and the interval of that test; without one there are too few runs for "
        "an interval. First is better: the probability over all runs, with a permutation test of "
        "Brunner and Munzel's statistic; its interval is for this difference alone, but ends "
        "at 50 % where p demands it. Each p, and the interval of means, is adjusted after Holm "
        "for the number of differences. Runs are not paired by seed. With few and unequal "
        "numbers of runs the tests may err somewhat more often than stated."
    )
    return Table("All differences", columns, comparison.differences, [note], "differences")


def as_row(result: RunResult) -> dict[str, Any]:
    """The run's line of comparison.csv, under plain names; a collapsed run has no score
    in ``..._if_trained``.
    """
    judge = result.judged_by
    score = judge.measured_in(result.final)
    scores = {
        name: value for name, value in result.final.items() if name.startswith(("test", "val"))
    }
    scores[score] = result.score
    if result.validation is not None:
        scores[judge.metric] = result.validation
    origin = vars(result.provenance).items()
    # scores_file.py reads the columns between seed and parameters again, as settings.
    return {
        "arch": result.arch,
        "seed": result.seed,
        **{option.replace(".", "_"): value for option, value in result.overrides},
        "parameters": result.parameters,
        **{column_of(name): value for name, value in scores.items()},
        "collapsed": result.failed,
        f"{column_of(score)}_if_trained": None if result.failed else result.score,
        "seconds": round(result.seconds, 3),
        **{name: value for name, value in origin if name not in ("data", "code")},
        "edited": " ".join(result.provenance.edited),
    }


def column_of(metric: str) -> str:
    """The column of a metric in comparison.csv: ``test_acc``."""
    return metric.replace("/", "_")

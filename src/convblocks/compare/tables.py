"""A comparison's tables: a line for each network, every difference, and each run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from convblocks.compare.analysis import Comparison, Summary, training_loss, unit_of
from convblocks.compare.trials import settings_text
from convblocks.figures.estimates import COUNT, LOSS, P_VALUE
from convblocks.figures.tables import Column, Table
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.result import RunResult

# Of a difference of means.
WELCHS = "Welch's interval (where the two disagree at 5 %, p decides)"


def results_table(
    title: str,
    arms: Sequence[Summary],
    results: Sequence[RunResult],
    swept: Sequence[str] = (),
    notes: Sequence[str] = (),
    key: str = "results",
) -> Table:
    """A line for each network at a setting, from summaries of the results; ``swept`` are the options of a grid."""
    baseline = next((arm.against.second for arm in arms if arm.against), "")
    chance = results[0].facts.get("chance")
    ending = f", or ends at chance (at most {100 * chance:.1f} %) and cannot recover" if chance else ""
    meaning = (
        f"P(beats {baseline}): the probability that a run is better than one of {baseline}, collapsed runs coming "
        f"last. minus {baseline}: the difference of the means of the runs that trained."
    )
    notes = [
        *notes,
        f"[...]: 95 % intervals. A run has collapsed if it diverges{ending}; means in this table leave such runs out.",
        *([meaning] if baseline else []),
    ]
    return Table(title, columns_of(arms, results, swept, baseline), arms, notes, key)


def columns_of(
    arms: Sequence[Summary], results: Sequence[RunResult], swept: Sequence[str], baseline: str
) -> list[Column]:
    """The columns of the table of networks, whose rows are summaries: the one place that a further one takes.

    The setting and validation are those of a grid; the losses are the notebook's, and stand where its networks do.
    """
    unit, score = unit_of(results), results[0].score_name.removeprefix("test ")

    def setting(arm: Summary) -> str | None:
        return settings_text(arm.overrides, swept).replace(", ", ",\n") if swept else None

    def trained(arm: Summary) -> str:
        return f"{arm.trained_runs}/{arm.runs}\n{arm.trained.interval()}"

    losses = [
        Column("first train\nloss", lambda arm: arm.first_loss, LOSS, priority=0, key="first_loss", optional=True),
        Column("last train\nloss", lambda arm: arm.last_loss, LOSS, priority=0, key="last_loss", optional=True),
    ]
    validation = Column("validation", lambda arm: arm.validation, unit, priority=4, key="validation", optional=True)
    return [
        Column("network", lambda arm: arm.arch, key="arch"),
        Column("setting", setting, key="setting", optional=True),
        Column("parameters", lambda arm: arm.parameters or None, COUNT, priority=3, key="parameters", optional=True),
        Column("s a\nrun", lambda arm: arm.seconds or None, COUNT, priority=2, optional=True),
        Column("trained", lambda arm: arm.trained, key="trained", text=trained),
        *([validation] if swept else []),
        *(losses if any(arm.arch in ARCHITECTURES for arm in arms) else []),
        Column(f"{score}\nif trained", lambda arm: arm.score and replace(arm.score, unit=unit), key="score"),
        Column("sd", lambda arm: arm.score and arm.score.deviation, unit, priority=1, key="sd"),
        Column(f"P(beats\n{baseline})", lambda arm: arm.against and arm.against.all_runs, key="better", optional=True),
        Column(
            f"minus {baseline}\nif trained",
            lambda arm: arm.against and arm.against.trained,
            signed=True,
            key="minus",
            optional=True,
        ),
    ]


def differences_table(comparison: Comparison, interval: str = WELCHS) -> Table:
    """Every pair of networks in both readings; ``interval`` is that of the differences of means, in words."""
    columns = [
        Column("difference", lambda row: f"{row.first} - {row.second}", key="difference"),
        Column("n", lambda row: "{}, {}".format(*row.trained_runs)),
        Column("if trained: mean [95 %]", lambda row: row.trained, signed=True, key="trained"),
        Column("p", lambda row: row.trained and row.trained.p, P_VALUE),
        Column("n", lambda row: "{}, {}".format(*row.runs)),
        Column("first is better [95 %]", lambda row: row.all_runs, key="all_runs"),
        Column("p", lambda row: row.all_runs.p, P_VALUE),
    ]
    note = (
        "If trained: the difference of the means of the runs that trained, with a permutation test of Welch's t and "
        f"{interval}. First is better: the probability, over all runs, that one of the first network is better than "
        "one of the second, with a permutation test of Brunner and Munzel's statistic; the interval does not belong to "
        "its p: with p near 0.05 it may still hold 50 %. With few and unequal numbers of runs the tests may err "
        "somewhat more often than stated. Unpaired: a seed does not make two networks alike. p without a correction "
        "for the number of tests."
    )
    return Table("All differences", columns, comparison.differences, [note], "differences")


def as_row(result: RunResult) -> dict[str, Any]:
    """The run's line of comparison.csv: options as they were given, plain numbers under plain names."""
    origin = result.provenance
    scores = {name: value for name, value in result.final.items() if name.startswith(("test", "val"))}
    scores |= {result.judge.measured_in(result.final): result.score}
    scores |= {} if result.validation is None else {result.judge.metric: result.validation}
    losses = {"train_loss_first": training_loss(result, 0), "train_loss_last": training_loss(result, -1)}
    has_losses = "train/loss" in result.epochs[0]
    return {
        "arch": result.arch,
        "seed": result.seed,
        **dict(result.overrides),
        "parameters": result.parameters,
        **{name.replace("/", "_"): value for name, value in scores.items()},
        **(losses if has_losses else {}),
        "failed": result.failed,
        "seconds": result.seconds,
        **{name: value for name, value in vars(origin).items() if name != "data"},  # which is an option too
        "data_md5": " ".join(f"{part}={md5}" for part, md5 in (origin.data or {}).items()),
    }

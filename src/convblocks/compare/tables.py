"""A comparison's tables: a line for each network, every difference, where the runs come from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from convblocks.compare.analysis import Comparison, Difference, Summary, unit_of
from convblocks.compare.trials import NO_SETTINGS
from convblocks.compare.wording import noun_of, settings_text
from convblocks.data.images import MNIST, ImageSpec
from convblocks.figures.estimates import COUNT, LOSS, NOTHING, P_VALUE, cell, number_range
from convblocks.figures.grouping import grouped
from convblocks.figures.tables import Column, Table
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.result import RunResult

# Notes of the table of networks if it has the column.
VALIDATION = "validation: the mean over all runs, by which a setting is chosen."
LOSSES = "First and last loss: of training, over the first and the last epoch, means of the runs that trained."

# Of a difference of means.
WELCHS = "Welch's interval (where the two disagree at 5 %, p decides)"


def titled(title: str, results: Sequence[RunResult], swept: Sequence[str]) -> str:
    """A title with the settings that all runs share."""
    overrides = results[0].overrides
    common = [option for option, _ in overrides if option not in swept and option not in NO_SETTINGS]
    return f"{title}: {settings_text(overrides, common)}" if common else title


def results_table(
    title: str,
    comparisons: Sequence[Comparison],
    swept: Sequence[str] = (),
    notes: Sequence[str] = (),
    best: str | None = None,
) -> Table:
    """A line for each network of each comparison; the setting and validation columns are those of a grid.

    That of the ``best`` one is marked. The columns of losses are the notebook's, and stand where its networks do.
    """
    first = comparisons[0].results[0]
    columns = columns_of(comparisons, swept, best)
    notes = [
        *_other_images(first.facts.get("images")),
        *notes,
        f"[...]: 95 % intervals. {_meaning_of_collapse(first)}; means in this table leave such runs out.",
        *([_meaning(comparisons[0])] if comparisons[0].arms[1:] else []),
    ]
    arms = [arm for comparison in comparisons for arm in comparison.arms]
    table = Table(title, columns, arms, notes, "results")
    more = {"validation": VALIDATION, "first\nloss": LOSSES}
    return replace(table, notes=[*notes, *(more[name] for name in table.names if name in more)])


def columns_of(comparisons: Sequence[Comparison], swept: Sequence[str], best: str | None) -> list[Column]:
    """The columns of the table of networks, whose rows are summaries: the one place that a further one takes."""
    arms = [arm for comparison in comparisons for arm in comparison.arms]
    unit = unit_of([run for comparison in comparisons for run in comparison.results])
    score, baseline = comparisons[0].results[0].score_name.removeprefix("test "), comparisons[0].baseline
    is_chosen = bool(swept) and all(arm.validation is not None for arm in arms)
    is_notebooks = any(arm.arch in ARCHITECTURES for arm in arms)
    differences = {  # by identity: the same runs may stand in several comparisons, against others
        id(arm): difference
        for comparison in comparisons
        for difference in comparison.in_score
        for arm in comparison.arms
        if (difference.first, difference.second) == (arm.arch, baseline)
    }

    def against(arm: Summary) -> Difference | None:
        """The difference from the baseline."""
        return differences.get(id(arm))

    def ends_text(arm: Summary) -> str:
        """With the scores of the runs that collapsed."""
        collapsed = number_range([arm.collapsed_at[place] for place in (0, -1)], unit) if arm.collapsed_at else ""
        lost = f"({len(arm.collapsed_at)} at {collapsed})" if collapsed else ""
        return "\n".join(filter(None, [number_range(arm.ends, unit), lost]))

    return [
        Column(
            noun_of(comparisons[0].results),
            lambda arm: arm.arch,
            key="arch",
            text=lambda arm: arm.arch + "\n(best)" * (arm.arch == best),
        ),
        Column("setting", setting_of(swept), key="setting", optional=True),
        Column("parameters", lambda arm: arm.parameters or None, COUNT, priority=3, key="parameters", optional=True),
        Column("s a\nrun", lambda arm: arm.seconds or None, COUNT, priority=2, optional=True),
        Column(
            "trained",
            lambda arm: arm.trained,
            key="trained",
            text=lambda arm: f"{arm.trained_runs}/{arm.runs}\n{arm.trained.interval()}",
        ),
        Column(
            "validation",
            lambda arm: arm.validation if is_chosen else None,
            unit,
            priority=4,
            key="validation",
            optional=True,
        ),
        Column(
            "first\nloss",
            lambda arm: arm.first_loss.value if is_notebooks and arm.first_loss else None,
            LOSS,
            priority=0,
            key="first_loss",
            optional=True,
        ),
        Column(
            "last\nloss",
            lambda arm: arm.last_loss.value if is_notebooks and arm.last_loss else None,
            LOSS,
            priority=0,
            key="last_loss",
            optional=True,
        ),
        Column(f"{score}\nif trained", lambda arm: arm.score and replace(arm.score, unit=unit), key="score"),
        Column("sd", lambda arm: arm.score and arm.score.deviation, unit, priority=1, key="sd"),
        Column("worst–best", lambda arm: arm.ends, unit, priority=5, key="worst_best", text=ends_text),
        Column(
            f"P(beats\n{baseline})", lambda arm: getattr(against(arm), "all_runs", None), key="better", optional=True
        ),
        Column(
            f"minus {baseline}\nif trained",
            lambda arm: getattr(against(arm), "means", None),
            signed=True,
            key="minus",
            optional=True,
        ),
    ]


def setting_of(swept: Sequence[str]) -> Callable[[Summary | Difference], str | None]:
    """The value of a column of settings, of which a grid has several; each option has a line."""
    return lambda row: settings_text(row.overrides, swept).replace(", ", ",\n") if swept else None


def differences_tables(
    comparisons: Sequence[Comparison], swept: Sequence[str] = (), interval: str = WELCHS
) -> list[Table]:
    """Every pair of networks in every measure and both readings, if there are several networks.

    With ``swept`` options at each of their settings. ``interval`` is that of the differences of means, in words.
    """
    lines = [difference for comparison in comparisons for difference in comparison.differences]

    def trained(line: Difference) -> str:
        return f"{'better in ' if line.trained and not line.means else ''}{cell(line.trained, signed=True)}"

    def sizes(runs: tuple[int, int]) -> str:
        return "{}, {}".format(*runs)

    columns = [
        Column(
            "setting",
            lambda line: settings_text(line.overrides, swept) if swept else None,
            key="setting",
            optional=True,
        ),
        Column("measure", lambda line: line.measure.name, key="measure"),
        Column("difference", lambda line: f"{line.first} - {line.second}", key="difference"),
        Column("n", lambda line: sizes(line.trained_runs)),
        Column("if trained: mean [95 %]", lambda line: line.trained, key="trained", text=trained),
        Column("p", lambda line: line.p("trained") if line.trained else None, P_VALUE),
        Column("n", lambda line: sizes(line.runs)),
        Column("first is better [95 %]", lambda line: line.all_runs, key="all_runs"),
        Column("p", lambda line: line.p("all"), P_VALUE),
    ]
    points = "Accuracies in points; " if comparisons[0].judge.in_percent else ""
    note = (
        "If trained: the difference of the means of the runs that trained, with a permutation test of Welch's t and "
        f"{interval}. First is better: the probability, over all runs, that one of the first network is better than "
        "one of the second, with a permutation test of Brunner and Munzel's statistic. With many runs neither needs "
        "two networks' runs to vary by as much; with few and unequal numbers of runs they may still err somewhat more "
        "often than stated. Unpaired: a seed does not make two networks alike. The interval of the probability does "
        "not belong to its p: with p near 0.05 it may still hold 50 %. "
        f"{points}p without a correction for the number of tests."
    )
    return [Table("All differences", columns, lines, [note], "differences")] if lines else []


def origin_tables(results: Sequence[RunResult]) -> list[Table]:
    """The settings of all runs, and the machines and commits that they come from; none of runs from elsewhere."""
    if not any(run.provenance.machine for run in results):
        return []
    settings = grouped(
        results,
        lambda run: (
            run.arch,
            ", ".join(f"{option}={value}" for option, value in run.overrides),
            str(run.hparams.get("batch_size", NOTHING)),
        ),
    )
    places = grouped(
        [run.provenance for run in results],
        lambda place: (place.machine, place.device, f"{place.processes} x {place.threads}", place.commit or NOTHING),
    )
    seeds = [[*setting, ", ".join(str(run.seed) for run in runs), str(len(runs))] for setting, runs in settings.items()]
    return [
        Table("Settings", [noun_of(results), "options", "batch size", "seeds", "runs"], seeds),
        Table(
            "Where the runs come from",
            ["machine and versions", "device", "processes x threads", "commit", "runs"],
            [[*place, str(len(runs))] for place, runs in places.items()],
        ),
    ]


def _other_images(images: Mapping[str, Any] | None) -> list[str]:
    spec = ImageSpec.from_dict(images["spec"]) if images else MNIST
    return [f"Images of {spec}; {images['test']:,} test images."] if images and not spec.same_images(MNIST) else []


def _meaning_of_collapse(run: RunResult) -> str:
    if "chance" not in run.facts:
        return "A run has collapsed if it diverges"
    chance = f"at most {100 * run.facts['chance']:.1f} %"
    return f"A run has collapsed if it diverges, or ends at chance ({chance}) and cannot recover"


def _meaning(comparison: Comparison) -> str:
    baseline = comparison.baseline
    difference = "points of accuracy" if comparison.judge.in_percent else "the difference"
    return (
        f"P(beats {baseline}): the probability that a run of this {noun_of(comparison.results)} is better than one of "
        f"{baseline}, collapsed runs coming last. minus {baseline}: {difference} between the means of the runs that "
        "trained."
    )

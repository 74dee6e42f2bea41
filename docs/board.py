"""docs/lab/board.md: accuracy against cost, of this repository's recipes and of what others have published."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import yaml

from benchmarks.pages import read_raw_numbers
from benchmarks.rows import Results
from convblocks.atomic import write
from convblocks.comparison.analysis import summarise
from convblocks.comparison.statistics import mean_interval
from convblocks.comparison.study.decision import at_notebooks, cell_of
from convblocks.comparison.study.report import cell_text
from convblocks.comparison.study.stages import choices_of
from convblocks.estimates import NOTHING, SECONDS, Estimate, cell
from convblocks.runs.result import Overrides, RunResult, by_arch, by_overrides, grouped, read_results
from convblocks.tables import Table, to_markdown
from docs.comparisons import REPOSITORY
from docs.tables import by_machine, hardware, sources

# An accuracy that is reached so soon is what the board's seconds tell.
FAST = 0.99


@dataclass(frozen=True)
class Entry:
    """The runs of one network by one recipe on one machine, and the name of their records."""

    recipe: str
    records: str
    runs: Sequence[RunResult]

    @property
    def accuracy(self) -> Estimate | None:
        return summarise(self.runs).accuracy

    @property
    def seconds(self) -> Estimate | None:
        """From the first step to the accuracy that is called fast; None unless all runs got there."""
        reached = [run.time_to(FAST) for run in self.runs]
        found = [seconds for _, seconds in filter(None, reached)]
        return mean_interval(found, SECONDS) if len(found) == len(reached) else None


@dataclass(frozen=True)
class Goal:
    """What a recipe was to reach with a network: a mean accuracy, or a mean of seconds to 99 %."""

    text: str
    recipe: str
    arch: str
    accuracy: float | None = None
    seconds: float | None = None


GOALS = (
    Goal("99.60 % with at most 86,000 parameters in at most 30 epochs", "long", "maxpool", accuracy=0.9960),
    Goal("batchnorm: 99.40 % in 5 epochs", "onecycle", "batchnorm", accuracy=0.9940),
    Goal("99 % in less than 12 s on 2 CPUs", "sprint", "maxpool", seconds=12),
)


def write_board(data: Path, out: Path) -> None:
    """Make the page."""
    entries = read_entries(data)
    starts = read_raw_numbers(data, "performance", Results)
    names = dict.fromkeys(entry.records for entry in entries)
    blocks = [
        "# The board: accuracy against cost",
        "All recipes of this repository, and figures of others for comparison. How the runs came about is below.",
        to_markdown([goals_table(entries), entries_table(entries, starts), public_table(data)]).strip(),
        "## Where the numbers come from",
        *(sources(name, [run for entry in entries if entry.records == name for run in entry.runs]) for name in names),
    ]
    write(out / "docs" / "lab" / "board.md", "\n\n".join(blocks) + "\n")


def read_entries(data: Path) -> list[Entry]:
    """Every recipe with every network, on every machine that ran it."""
    confirmed = read_results(data / "study-confirm.jsonl")
    choices = choices_of(read_results(data / "study-choose.jsonl"))
    best = [run for run in confirmed if cell_of(run) == choices[run.arch]]
    recipes = [("notebook", "study-confirm", at_notebooks(confirmed))]
    recipes += [(f"best: {cell_text(choices[arch])}", "study-confirm", runs) for arch, runs in by_arch(best).items()]
    recipes += [(name, name, read_results(data / f"{name}.jsonl")) for name in ("sprint", "onecycle", "long")]
    return [
        Entry(recipe, records, here)
        for recipe, records, runs in recipes
        for own in by_arch(runs).values()
        for at_setting in by_overrides(own).values()
        for here in by_machine(at_setting).values()
    ]


def entries_table(entries: Sequence[Entry], starts: Results) -> Table:
    """A line for each entry."""
    lines = [
        [
            entry.recipe,
            entry.runs[0].arch,
            f"{entry.runs[0].parameters:,}",
            str(len(entry.runs[0].epochs)),
            precision_of(entry.runs[0].overrides),
            cell(entry.accuracy),
            f"{entry.accuracy.n if entry.accuracy else 0} of {len(entry.runs)}",
            *_seconds_text(entry, starts),
            f"{entry.runs[0].provenance.threads}",
            hardware(entry.runs[0]),
        ]
        for entry in entries
    ]
    columns = ["recipe", "network", "parameters", "epochs", "precision", "test accuracy % [95 %]", "trained"]
    columns += [f"s to {FAST:.0%}", "from the start of the process", "threads", "machine"]
    notes = [
        "Accuracy: the mean of the runs that trained, with Student's 95 % interval. Seconds: of training and "
        "evaluation, from the first step to the end of the first epoch with that accuracy, mean and 95 % interval; a "
        "dash where not every run got there. From the start of the process: with the median time that fit.py takes to "
        "its first step with two threads, as measured for [performance.md](performance.md) on the same machine."
    ]
    return Table("Recipes", columns, lines, notes)


def precision_of(overrides: Overrides) -> str:
    """The precision of runs at these settings, from the command line or their config."""
    given = dict(overrides)
    config = yaml.safe_load((REPOSITORY / given["config"]).read_text()) if "config" in given else {}
    return str(given.get("trainer.precision") or config.get("trainer", {}).get("precision", "32-true"))


def goals_table(entries: Sequence[Entry]) -> Table:
    """Every goal against what was measured; of several machines the slowest counts."""
    lines = []
    for goal in GOALS:
        own = [entry for entry in entries if (entry.recipe, entry.runs[0].arch) == (goal.recipe, goal.arch)]
        lines.append([goal.text, *_verdict(goal, own)])
    notes = [
        "A goal is met if all of the 95 % interval is beyond it, on every machine that ran the recipe; of several "
        "precisions the best counts."
    ]
    return Table("Goals", ["goal", "measured [95 %]", "verdict"], lines, notes)


def public_table(data: Path) -> Table:
    """What others have published."""
    with (data / "public.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [
        [
            f"[{row['what']}]({row['source']})",
            f"{int(row['parameters']):,}",
            row["epochs"],
            f"{row['accuracy']}, {row['counted']}",
            row["seconds"],
            row["hardware"],
        ]
        for row in rows
    ]
    columns = ["what", "parameters", "epochs", "test accuracy %", "seconds of training", "hardware"]
    note = (
        "Taken from their sources, not run here; parameters counted by us from the code. They are in data/public.csv."
    )
    return Table("Published by others", columns, lines, [note])


def _verdict(goal: Goal, entries: Sequence[Entry]) -> list[str]:
    measured, met = [], []
    for machine, own in grouped(entries, lambda entry: hardware(entry.runs[0])).items():
        if goal.accuracy is not None:
            means = [entry.accuracy for entry in own if entry.accuracy]
            best = max(means, key=lambda mean: mean.low, default=None)
            met.append(best is not None and best.at_least(goal.accuracy) == "met")
            measured.append(f"{cell(best)}, n = {best.n if best else 0}")
        else:
            seconds = [entry.seconds for entry in own if entry.seconds]
            least = min(seconds, key=lambda mean: mean.high, default=None)
            met.append(least is not None and goal.seconds is not None and least.at_most(goal.seconds) == "met")
            measured.append(f"{cell(least)}, n = {least.n if least else 0}, {machine}")
    return ["; ".join(measured) or NOTHING, "met" if met and all(met) else "not met"]


def _seconds_text(entry: Entry, starts: Results) -> list[str]:
    seconds, run = entry.seconds, entry.runs[0]
    first = starts.values("seconds", part="command", command="first step", arch=run.arch)
    if seconds is None or not first or starts.machine.partition(", python ")[0] != hardware(run):
        return [cell(seconds), NOTHING]
    return [cell(seconds), f"{seconds.value + median(first):.1f}"]

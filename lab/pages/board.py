"""docs/lab/board.md: accuracy against cost, of our settings and of what others have
published; the README's best.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from convblocks.compare.analysis import summarise
from convblocks.compare.statistics import mean_interval
from convblocks.figures.estimates import NOTHING, PERCENT, SECONDS, Estimate, cell, number
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.tables import Table
from convblocks.record.result import Overrides, RunResult
from convblocks.text import counted, listed, percent
from lab.benchmarks.rows import Labels, Results
from lab.benchmarks.training.page import FAST
from lab.by_seed import BLOCKS
from lab.estimates import at_least, at_most
from lab.pages.catalogue import TIMED
from lab.pages.settings import ACCURATE, at_measured_speed, share_text
from lab.pages.writing import (
    REPOSITORY,
    brief_machine,
    read_raw_numbers,
    table,
    write_page,
    write_sections,
)
from lab.results import hardware, read_results, time_to
from lab.study.decision import at_notebooks, cell_of
from lab.study.report import cell_text
from lab.study.stages import choices_of


@dataclass(frozen=True)
class Entry:
    """The runs of one network by one setting on one machine, and the name of their records."""

    setting: str
    records: str
    runs: Sequence[RunResult]

    @property
    def arch(self) -> str:
        return self.runs[0].arch

    @property
    def machine(self) -> str:
        return hardware(self.runs[0])

    @property
    def accuracy(self) -> Estimate | None:
        return summarise(self.runs).score

    @property
    def seconds(self) -> Estimate | None:
        return self.seconds_to(FAST)

    def seconds_to(self, goal: float) -> Estimate | None:
        """From the first step to an accuracy; None unless all runs got there on a
        machine that did nothing else.
        """
        if self.records not in (*TIMED, STUDY):
            return None
        times = [time_to(run, goal) for run in self.runs]
        seconds = [time for time in times if time]
        if len(seconds) < len(times):
            return None
        return mean_interval(seconds, SECONDS)


# The logs of S. An et al., "An ensemble of simple convolutional neural network models
# for MNIST digit recognition", arXiv 2008.10400, at a commit; a network with fewer of
# them has no row.
SIMPLE_CNN = (
    "https://github.com/ansh941/MnistSimpleCNN/tree/07c981fd0bc2254e64665f084fb966cccc8e7eb4/logs"
)
LEAST_RUNS = 10

# The records of the study's runs.
STUDY = "study-confirm"

# The setting whose seconds from the command on are measured for performance.md.
SPRINT = "sprint"

# What a setting was to reach with a network: at least a mean accuracy, or at most a
# mean of seconds to 99 %.
GOALS = (
    (
        "99.60 % with at most 86,000 parameters in at most 30 epochs",
        "long",
        "maxpool",
        "accuracy",
        0.9960,
    ),
    ("batchnorm: 99.40 % in 5 epochs", "onecycle", "batchnorm", "accuracy", 0.9940),
    ("99 % in less than 12 s of training on 2 CPUs", "sprint", BLOCKS, "seconds", 12),
)


def write_board(data: Path, out: Path) -> None:
    """Make the page."""
    entries = read_entries(data)
    commands = read_raw_numbers(data, "performance", Results)
    write_sections(out, "README.md", {"records": best_of(entries, commands)})
    write_page(
        out / "docs" / "lab" / "board.md",
        "# The board: accuracy against cost",
        """
        The settings of this repository, and figures of others. The
        runs are those of [results.md](results.md), which has the
        notebook's own setting too, and of
        [experiments.md](experiments.md).
        """,
        [goals_table(entries), entries_table(entries), public_table(data)],
    )


def read_entries(data: Path) -> list[Entry]:
    """Every setting with every network, on every machine that ran it."""
    confirmed = at_measured_speed(read_results(data / f"{STUDY}.jsonl"), data)
    choices = choices_of(read_results(data / "study-choose.jsonl"))
    best = [run for run in confirmed if cell_of(run) == choices[run.arch]]
    settings = [("notebook", STUDY, at_notebooks(confirmed))]
    for arch, runs in by_arch(best).items():
        settings.append((f"tuned: {cell_text(choices[arch])}", STUDY, runs))
    for name in ("sprint", "onecycle", "quick", "long"):
        settings.append((name, name, read_results(data / f"{name}.jsonl")))
    return [
        Entry(setting, records, here)
        for setting, records, runs in settings
        for own in by_arch(runs).values()
        for at_setting in grouped(own, lambda run: run.overrides).values()
        for here in grouped(at_setting, hardware).values()
    ]


def best_of(entries: Sequence[Entry], commands: Results) -> str:
    """README's records, the fastest and the most accurate: a line for each, of one
    network and the command for it.
    """
    labels: Labels = {
        "part": "sprint",
        "precision": precision_of((("config", f"configs/{SPRINT}.yaml"),)),
    }
    sprint = next(entry for entry in entries if entry.setting == SPRINT)
    seconds = mean_interval([*commands.values("seconds", **labels)], SECONDS)
    reached = mean_interval([*commands.values("accuracy", **labels)], PERCENT)
    found = [
        (entry, entry.accuracy)
        for entry in entries
        if entry.accuracy and entry.setting == entry.records
    ]
    best, accuracy = max(found, key=lambda item: item[1].value)
    run = best.runs[0]
    return (
        f"{_record(reached, sprint)} in **{number(seconds.value, SECONDS)} s** "
        f"{seconds.interval()} [from the command](docs/lab/performance.md) on "
        f"{_processors(commands.machine)}: "
        f"`python scripts/fit.py --config configs/{SPRINT}.yaml`\n"
        f"{_record(accuracy, best)} in {len(run.epochs)} epochs: "
        f"`python scripts/fit.py --config configs/{best.setting}.yaml --arch {run.arch}`"
    )


def _processors(machine: str) -> str:
    """``2 CPUs (AMD EPYC)``: processors by their name alone."""
    name = machine.partition(", Linux")[0]
    return f"{name.partition(',')[0].rstrip(')')})"


def _record(accuracy: Estimate, entry: Entry) -> str:
    return (
        f"- **{percent(accuracy.value)}** {accuracy.interval()}, n = "
        f"{accuracy.n}, with {entry.runs[0].parameters:,} parameters"
    )


def entries_table(entries: Sequence[Entry]) -> Table:
    """A line for each entry."""

    def row(entry: Entry) -> dict[str, str]:
        run = entry.runs[0]
        accuracy = entry.accuracy
        precision = precision_of(run.overrides)
        maker = re.search("EPYC|Intel", entry.machine)
        processor = maker[0] if maker else entry.machine
        further = "" if precision == "32-true" else f", {precision}"
        return {
            "setting": f"[{entry.setting}](../data/{entry.records}.jsonl){further}",
            "network": entry.arch.rpartition(".")[-1],
            "parameters": f"{run.parameters:,}",
            "epochs": str(len(run.epochs)),
            "test accuracy %": cell(accuracy),
            "trained": f"{accuracy.n if accuracy else 0} of {len(entry.runs)}",
            f"seconds to {share_text(FAST)}": cell(entry.seconds),
            f"to {share_text(ACCURATE)}": cell(entry.seconds_to(ACCURATE)),
            "machine": f"{processor}, {counted(run.provenance.threads, 'thread')}",
        }

    machines = listed(list(dict.fromkeys(entry.machine for entry in entries)))
    note = f"""
        Machines: {machines}. Seconds are those of training and
        evaluation up to the end of the first epoch with that accuracy
        on the test set; a dash where not every run got there, or where
        runs shared their machine with other work. The study's are
        epochs times the seconds of one on [performance.md](performance.md)'s
        machine, not on theirs. That page has [the
        seconds](performance.md#from-the-command-to-99-) from the command.
    """
    rows = [row(entry) for entry in entries if entry.setting != "notebook"]
    return table("Settings", rows, note)


def precision_of(overrides: Overrides) -> str:
    """The precision of runs at these settings, from the command line or their config."""
    given = dict(overrides)
    config = {}
    if "config" in given:
        config = yaml.safe_load((REPOSITORY / given["config"]).read_text())
    configured = config.get("trainer", {}).get("precision", "32-true")
    return str(given.get("trainer.precision") or configured)


def goals_table(entries: Sequence[Entry]) -> Table:
    """Every goal against what was measured, which must meet it on every machine."""
    rows = []
    for text, setting, arch, measure, limit in GOALS:
        measured = []
        verdicts = {"met"}
        own = [entry for entry in entries if (entry.setting, entry.arch) == (setting, arch)]
        for machine, here in grouped(own, lambda entry: entry.machine).items():
            means = filter(None, (getattr(entry, measure) for entry in here))
            if measure == "accuracy":
                best = max(means, key=lambda mean: mean.low, default=None)
                judge = at_least
                where = ""
            else:
                best = min(means, key=lambda mean: mean.high, default=None)
                judge = at_most
                where = f", {brief_machine(machine)}"
            verdicts.add(judge(best, limit) if best else "missed")
            measured.append(f"{cell(best)}, n = {best.n if best else 0}{where}")
        verdict = next(one for one in ("missed", "undecided", "met") if one in verdicts)
        found = "; ".join(measured) or NOTHING
        rows.append({"goal": text, "measured": found, "verdict": verdict})
    note = """
        Verdicts are by the whole interval, on every machine that ran
        the setting, at the best precision.
    """
    return table("Goals", rows, note)


def public_table(data: Path) -> Table:
    """What others have published."""
    published = read_csv(data / "public.csv")
    rows = [
        {
            "what": f"[{row['what']}]({row['source']})",
            "parameters": f"{int(row['parameters']):,}",
            "epochs": row["epochs"],
            "test accuracy %": f"{row['accuracy']}, {row['counted']}",
            "seconds of training": f"{row['seconds']} on a {row['hardware']}",
        }
        for row in published
    ]
    readme = published[0]["source"]
    note = f"""
        Not run here ([public.csv](../data/public.csv),
        [mnist_simple_cnn.csv](../data/mnist_simple_cnn.csv)); we
        counted the parameters in their code. A source is listed if it
        gives the accuracy after the last epoch and the number of runs,
        and keeps their logs. MnistSimpleCNN's often-quoted 99.77 % is
        M3's mean at the epochs that were best on the test set. Of its
        other networks, our copy lacks Comp2 and CompA1, and those with
        fewer than {LEAST_RUNS} logs are left out.
    """
    credit = f"""
        `configs/sprint.yaml` follows train_mnist_fast: one epoch of
        one cycle, and Adam with betas of 0.7 and 0.9. train_mnist_fast
        prepares its images once, in [around 10 s]({readme}) that its
        0.762 s leave out.
    """
    return table("Published by others", [*rows, *simple_cnn_rows(data)], note, credit)


def read_csv(path: Path) -> list[dict[str, str]]:
    return [*csv.DictReader(path.read_text().splitlines())]


def simple_cnn_rows(data: Path) -> list[dict[str, str]]:
    """The networks of MnistSimpleCNN that have enough published logs, after the last epoch."""
    networks = grouped(read_csv(data / "mnist_simple_cnn.csv"), lambda row: row["network"])
    rows = []
    for network, runs in networks.items():
        accuracies = [float(run["accuracy_epoch_150"]) / 100 for run in runs]
        accuracy = mean_interval(accuracies, PERCENT)
        if accuracy.n < LEAST_RUNS:
            continue
        rows.append(
            {
                "what": f"[MnistSimpleCNN {network}]({SIMPLE_CNN})",
                "parameters": f"{int(runs[0]['parameters']):,}",
                "epochs": "150",
                "test accuracy %": f"{accuracy}, mean of {accuracy.n} runs",
                "seconds of training": NOTHING,
            }
        )
    return rows

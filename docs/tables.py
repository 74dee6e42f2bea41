"""What the pages say of runs: tables, and where the numbers come from."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import stdev

from convblocks.comparison.outcomes import Outcome, by_arch, time_to
from convblocks.comparison.records import provenance
from convblocks.comparison.verdicts import meets, row_of
from convblocks.comparison.wording import NOTHING, accuracy_text
from convblocks.tables import Table, percent
from docs.comparisons import COMMANDS

# What a sprint runs for.
SPRINT_GOAL = 0.99


def sources(name: str, outcomes: Sequence[Outcome], data: str = "data") -> str:
    """Where the runs of a comparison come from: command, files, and a line for each machine."""
    files = [("each run", "runs"), ("each epoch", "epochs")]
    files += [("the test images that each run got wrong", "mistakes")] if any(one.mistakes for one in outcomes) else []
    links = ", ".join(f"[{what}]({data}/{name}.{kind}.csv)" for what, kind in files)
    minutes = sum(one.seconds for one in outcomes) / 60
    trained = f"`python {shlex.join(COMMANDS[name])}`: n = {len(outcomes)} runs, {minutes:.0f} min of training in all."
    return "\n".join([f"{trained} Numbers of {links}.\n", *(f"- {line}." for line in provenance(outcomes))])


def goals_table(outcomes: Sequence[Outcome], goals: Mapping[str, float]) -> Table:
    """Whether networks meet their goals: the lower end of the interval of the mean is above it, not the mean alone."""
    rows = []
    for arch, runs in by_arch(outcomes).items():
        mean = row_of(runs).accuracy
        verdict = "met" if meets(goals[arch], mean) else "not shown"
        rows.append([arch, str(mean.n if mean else 0), accuracy_text(mean), percent(goals[arch]), verdict])
    note = "A goal is met where the lower end of the 95 % interval of the mean is above it."
    return Table("Goals", ["network", "runs that trained", "mean test accuracy %", "goal", "verdict"], rows, [note])


def sprint_tables(outcomes: Sequence[Outcome]) -> list[Table]:
    """For each machine when its runs reached the goal, in seconds of training and evaluation since the first step."""
    tables = []
    for machine in dict.fromkeys(map(hardware, outcomes)):
        own = [one for one in outcomes if hardware(one) == machine]
        rows = []
        for outcome in own:
            reached = time_to(outcome, SPRINT_GOAL)
            precision = dict(outcome.settings)["trainer.precision"]
            seconds = f"{reached[1]:.1f}" if reached else "never"
            rows.append([precision, str(outcome.seed), seconds, percent(outcome.accuracy)])
        columns = ["precision", "seed", "seconds from the first step", "test accuracy"]
        tables.append(Table(machine, columns, rows))
    return tables


def batches_table(outcomes: Sequence[Outcome]) -> Table:
    """Test accuracy by batch size and learning rate, of the runs that trained, and how many did not."""
    cells: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        options = dict(outcome.settings)
        cells.setdefault((options["batch_size"], options["lr"]), []).append(outcome)
    sizes, rates = ([*dict.fromkeys(cell[part] for cell in cells)] for part in (0, 1))
    rows = [[size, *[_cell(cells[size, rate]) for rate in rates]] for size in sizes]
    seeds = " or ".join(map(str, Counter(map(len, cells.values()))))
    notes = [
        f"Mean ± standard deviation of the runs that trained; each cell has {seeds} runs, and says how many collapsed. "
        "A batch of twice the size makes half as many steps. Scaled with the batch's size, the learning rate of 0.01 "
        "at 64 would be 0.04, 0.16 and 0.64; scaled with its square root, 0.02, 0.04 and 0.08."
    ]
    columns = ["batch size", *[f"lr {rate}" for rate in rates]]
    return Table("Test accuracy in % by batch size and learning rate, after 5 epochs", columns, rows, notes)


def hardware(outcome: Outcome) -> str:
    """Processor and system that a run ran on, without the versions."""
    return outcome.provenance.machine.partition(", python ")[0]


def _cell(runs: Sequence[Outcome]) -> str:
    """``94.64 ± 0.59``, ``58.67, 2 collapsed`` or ``3 collapsed``."""
    trained = [100 * one.accuracy for one in runs if not one.collapsed]
    spread = f" ± {stdev(trained):.2f}" if len(trained) > 1 else ""
    parts = [f"{sum(trained) / len(trained):.2f}{spread}"] if trained else []
    collapsed = len(runs) - len(trained)
    return ", ".join([*parts, *([f"{collapsed} collapsed"] if collapsed else [])]) or NOTHING

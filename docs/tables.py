"""What the pages say of runs: tables, and where the numbers come from."""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from convblocks.comparison.outcomes import RunResult, by_settings, grouped, time_to
from convblocks.comparison.records import provenance
from convblocks.comparison.statistics import SIGNIFICANCE, mean_interval, sign_flip_test
from convblocks.comparison.verdicts import row_of
from convblocks.comparison.wording import NOTHING, accuracy_text, difference_text, p_text, spread_text
from convblocks.tables import Table, percent
from docs.comparisons import COMMANDS

# What a sprint runs for.
SPRINT_GOAL = 0.99


def sources(name: str, outcomes: Sequence[RunResult], data: str = "data") -> str:
    """Where the runs of a comparison come from: command, files, and a line for each machine."""
    files = [("each run", "runs"), ("each epoch", "epochs")]
    files += [("the test images that each run got wrong", "mistakes")] if any(one.mistakes for one in outcomes) else []
    links = ", ".join(f"[{what}]({data}/{name}.{kind}.csv)" for what, kind in files)
    minutes = sum(one.seconds for one in outcomes) / 60
    trained = f"`python {shlex.join(COMMANDS[name])}`: n = {len(outcomes)} runs, {minutes:.0f} min of training in all."
    return "\n".join([f"{trained} Numbers of {links}.\n", *(f"- {line}." for line in provenance(outcomes))])


def candidates_table(outcomes: Sequence[RunResult]) -> Table:
    """Every setting of which a recipe was chosen, the best first, by the images held out."""
    rows = []
    for settings, runs in by_settings(outcomes).items():
        score = mean_interval([float(one.validation or 0) for one in runs])
        name = Path(dict(settings)["config"]).name
        rows.append((score.mean, [f"[{name}](data/candidates/{name})", spread_text(score), str(score.n)]))
    notes = ["Mean and standard deviation over the runs of a setting; the test set had no say."]
    lines = [line for _, line in sorted(rows, reverse=True)]
    epochs = len(outcomes[0].epochs)
    title = f"Candidates for {outcomes[0].arch}, {epochs} {'epoch' if epochs == 1 else 'epochs'}"
    return Table(title, ["setting", "validation accuracy %", "n"], lines, notes)


def sprint_tables(outcomes: Sequence[RunResult]) -> list[Table]:
    """For each machine when its runs reached the goal, in seconds of training and evaluation since the first step."""
    tables = []
    for machine, own in by_machine(outcomes).items():
        rows = []
        for outcome in own:
            reached = time_to(outcome, SPRINT_GOAL)
            precision = dict(outcome.settings)["trainer.precision"]
            seconds = f"{reached[1]:.1f}" if reached else "never"
            rows.append([precision, str(outcome.seed), seconds, percent(outcome.accuracy)])
        columns = ["precision", "seed", "seconds from the first step", "test accuracy"]
        tables.append(Table(machine, columns, rows))
    return tables


def batches_table(outcomes: Sequence[RunResult]) -> Table:
    """Test accuracy by batch size and learning rate, of the runs that trained, and how many did not."""
    cells: dict[tuple[str, str], list[RunResult]] = {}
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


def channels_table(first: Sequence[RunResult], last: Sequence[RunResult]) -> Table:
    """Test accuracy of two networks that begin alike, and their difference, paired by seed."""
    rows = [
        [name, f"{row.trained} of {row.runs}", accuracy_text(row.accuracy)]
        for name, row in (("channels first", row_of(first)), ("channels last", row_of(last)))
    ]
    accuracies = {one.seed: one.accuracy for one in last if not one.collapsed}
    differences = [one.accuracy - accuracies[one.seed] for one in first if not one.collapsed and one.seed in accuracies]
    result = sign_flip_test(differences)
    rows.append(["first - last", f"{result.n} pairs", difference_text(result, "accuracy")])
    differ = result.p < SIGNIFICANCE
    verdict = "a difference" if differ else "no difference"
    is_better = differ and result.difference > 0
    default = "channels first should be the default" if is_better else "channels_last stays the default"
    notes = [
        f"Means of the runs that trained, with 95 % intervals. The difference is in points, paired by seed: the "
        f"sign-flip test finds {verdict} ({p_text(result.p)}), and the interval is its own: {default}."
    ]
    return Table("Test accuracy", ["order of memory", "n", "test accuracy % [95 %]"], rows, notes)


def by_machine(outcomes: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """The runs of each processor and system, in the order in which they come."""
    return grouped(outcomes, hardware)


def hardware(outcome: RunResult) -> str:
    """Processor and system that a run ran on, without the versions."""
    return outcome.provenance.machine.partition(", python ")[0]


def _cell(runs: Sequence[RunResult]) -> str:
    """``94.64 ± 0.59``, ``58.67, 2 collapsed`` or ``3 collapsed``."""
    trained = [one.accuracy for one in runs if not one.collapsed]
    parts = [spread_text(mean_interval(trained))] if trained else []
    collapsed = len(runs) - len(trained)
    return ", ".join([*parts, *([f"{collapsed} collapsed"] if collapsed else [])]) or NOTHING

"""Tables of runs for the pages, and the lines on where their numbers come from."""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from convblocks.comparison.analysis import summarise
from convblocks.comparison.grid import paired_difference
from convblocks.comparison.statistics import SIGNIFICANCE, mean_interval
from convblocks.estimates import NOTHING, PERCENT, cell, p_text
from convblocks.runs.result import RunResult, by_overrides, grouped
from convblocks.tables import Table, percent
from docs.comparisons import COMMANDS

# The accuracy that a sprint is to reach.
SPRINT_GOAL = 0.99


def sources(name: str, results: Sequence[RunResult], data: str = "../data") -> str:
    """The origin of a comparison's runs: command, file, and a line for each machine."""
    minutes = sum(one.seconds for one in results) / 60
    command = f"`python {shlex.join(COMMANDS[name])}`"
    runs = f"n = {len(results)} runs, {minutes:.0f} min of training in all, [each with all its numbers]"
    lines = [f"- {line}." for line in origins(results)]
    return "\n".join([f"{command}: {runs}({data}/{name}.jsonl).\n", *lines])


def origins(results: Sequence[RunResult]) -> list[str]:
    """A line for each machine: the number of its runs, threads, processes and commits."""
    lines = []
    for machine, runs in grouped([one.provenance for one in results], lambda one: one.machine).items():
        parts = [f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} on {machine}"]
        parts.append(_each([one.threads for one in runs], "thread", "threads"))
        if any(one.processes > 1 for one in runs):
            parts.append(_each([one.processes for one in runs], "process", "processes"))
        commits = list(dict.fromkeys(one.commit or "unknown" for one in runs))
        parts.append(f"{'commit' if len(commits) == 1 else 'commits'} {_listed(commits)}")
        lines.append(", ".join(parts))
    return lines


def candidates_table(results: Sequence[RunResult]) -> Table:
    """Every setting from which a recipe was chosen, the best first, by held-out images."""
    rows = []
    for settings, runs in by_overrides(results).items():
        score = mean_interval([one.validation or 0.0 for one in runs], PERCENT)
        name = Path(dict(settings)["config"]).name
        rows.append((score.value, [f"[{name}](../data/candidates/{name})", score.spread(), str(score.n)]))
    notes = ["Mean and standard deviation over the runs of a setting; the test set was not used."]
    lines = [line for _, line in sorted(rows, reverse=True)]
    epochs = len(results[0].epochs)
    title = f"Candidates for {results[0].arch}, {epochs} {'epoch' if epochs == 1 else 'epochs'}"
    return Table(title, ["setting", "validation accuracy %", "n"], lines, notes)


def sprint_tables(results: Sequence[RunResult]) -> list[Table]:
    """For each machine, when its runs reached the goal: seconds of training and evaluation since the first step."""
    tables = []
    for machine, own in by_machine(results).items():
        rows = []
        for result in own:
            reached = result.time_to(SPRINT_GOAL)
            precision = dict(result.overrides)["trainer.precision"]
            seconds = f"{reached[1]:.1f}" if reached else "never"
            rows.append([precision, str(result.seed), seconds, percent(result.accuracy)])
        columns = ["precision", "seed", "seconds from the first step", "test accuracy"]
        tables.append(Table(machine, columns, rows))
    return tables


def batches_table(results: Sequence[RunResult]) -> Table:
    """Test accuracy by batch size and learning rate of the runs that trained, and the number of the others."""
    cells: dict[tuple[str, str], list[RunResult]] = {}
    for result in results:
        options = dict(result.overrides)
        cells.setdefault((options["batch_size"], options["lr"]), []).append(result)
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
    """Test accuracy of two networks with the same initial weights, and their difference, paired by seed."""
    rows = [
        [name, f"{arm.trained_runs} of {arm.runs}", cell(arm.accuracy)]
        for name, arm in (("channels first", summarise(first)), ("channels last", summarise(last)))
    ]
    difference = paired_difference(first, last)
    assert difference
    rows.append(["first - last", f"{difference.n} pairs", f"{difference:+}"])
    differ = difference.p < SIGNIFICANCE
    verdict = "a difference" if differ else "no difference"
    is_better = differ and difference.value > 0
    default = "channels first should be the default" if is_better else "channels_last stays the default"
    notes = [
        f"Means of the runs that trained, with 95 % intervals. The difference is in points, paired by seed: the "
        f"sign-flip test finds {verdict} ({p_text(difference.p)}), and the interval is its own: {default}."
    ]
    return Table("Test accuracy", ["order of memory", "n", "test accuracy % [95 %]"], rows, notes)


def by_machine(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """The runs of each processor and system, in the order in which they come."""
    return grouped(results, hardware)


def hardware(result: RunResult) -> str:
    """Processor and system that a run ran on, without the versions."""
    return result.provenance.machine.partition(", python ")[0]


def _cell(runs: Sequence[RunResult]) -> str:
    """``94.64 ± 0.59``, ``58.67, 2 collapsed`` or ``3 collapsed``."""
    trained = [one.accuracy for one in runs if not one.collapsed]
    parts = [mean_interval(trained, PERCENT).spread()] if trained else []
    collapsed = len(runs) - len(trained)
    return ", ".join([*parts, *([f"{collapsed} collapsed"] if collapsed else [])]) or NOTHING


def _each(counts: Sequence[int], singular: str, plural: str) -> str:
    """``one thread each``, or ``1 and 2 threads each``."""
    found = sorted(set(counts))
    return f"one {singular} each" if found == [1] else f"{_listed([str(count) for count in found])} {plural} each"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]

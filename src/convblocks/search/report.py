"""The report of a search: tables and a conclusion."""

import shlex
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial

from convblocks.compare.analysis import Comparison, difference
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.compare.tables import results_table
from convblocks.compare.trials import VAL_SIZE, Trial, command_line, settings_text
from convblocks.console import command_words
from convblocks.figures.estimates import number, p_text
from convblocks.figures.grouping import by_arch
from convblocks.figures.report import Report, publish
from convblocks.figures.tables import Column, Table
from convblocks.search.config import as_overrides
from convblocks.search.worker import SearchWorker, ending_of

BEST = 10

# The label of the settings that were not searched.
DEFAULT = "default"


def report(worker: SearchWorker, confirmed: Comparison | None, repeat: str) -> None:
    """Write the report beside the trials, and print its tables and the command to go on with."""
    config, trials = worker.config, worker.trials()
    sentences, command = conclusion(worker, confirmed)
    rows = [_row(trial) for trial in trials]
    content = Report(
        name="search",
        tables=[best_table(worker), *([confirmed_table(confirmed)] if confirmed else [])],
        sentences=sentences,
        figures={},
        runs=rows,
        command=command,
        repeat=repeat,
        numbers={"config": config.words(), "trials": rows, "command": command},
    )
    publish(content, config.directory)


def conclusion(worker: SearchWorker, confirmed: Comparison | None) -> tuple[list[str], str]:
    """Whether the best trial beat the default with fresh seeds, and the command that
    writes the config of the better.

    Without fresh runs that is not known, and the command is the trial's.
    """
    judge, best = worker.plan.judge, worker.best()[0]
    trial = worker.config.trial(best.number, best.params)
    seen = f"{trial.label} is best in the search: {judge.name_of(judge.metric)} {judge.text(best.values[0])}."
    verdict, chosen = "Whether it beats the default with fresh seeds is not known.", trial
    if confirmed:
        runs = by_arch(confirmed.results)
        lead = difference(runs[trial.label], runs[DEFAULT])
        (trained, default), means = lead.trained_runs, lead.trained
        fresh, is_better = (
            f"all runs of {'the default' if trained else trial.label} collapse",
            trained > 0,
        )
        if means:
            distance = f"{number(abs(means.value), means.unit)}{means.unit.name}"
            fresh = f"it is {distance} {'below' if means.value < 0 else 'above'} the default ({p_text(means.p)})"
            is_better = means.p < SIGNIFICANCE and judge.sign * means.value > 0
        chosen = trial if is_better and trained >= default else worker.config.default
        fresh += ", but more of its runs collapse" if is_better and chosen != trial else ""
        verdict = f"With fresh seeds {fresh}: {f'take {trial.label}' if chosen == trial else 'keep the default'}."
    return [seen, f"{verdict} This writes its config:"], command_for(chosen)


def command_for(trial: Trial) -> str:
    """The command that writes the config of a trial's settings, without held-out images."""
    options = [pair for pair in trial.overrides if pair[0] != VAL_SIZE]
    arguments = shlex.join([f"--{trial.option}", trial.arch, *command_line(options)])
    name = shlex.quote(trial.comparison.replace("/", "-"))
    return f"{' '.join(command_words('fit'))} {arguments} --print_config > {name}.yaml"


def best_table(worker: SearchWorker) -> Table:
    """The best trials, and how all of them ended."""
    config, judge = worker.config, worker.plan.judge
    columns = [
        Column("trial", lambda trial: f"trial_{trial.number}"),
        Column(judge.name_of(judge.metric), lambda trial: judge.text(trial.values[0])),
        Column(
            "settings", lambda trial: settings_text(as_overrides(trial.params), list(trial.params))
        ),
    ]
    chosen = f"Sampler {config.sampler}, seed {config.default.seed}, pruner {config.pruner}."
    notes = [f"{len(worker.trials())} trials of {config.default.arch}: {worker.so_far()}. {chosen}"]
    return Table("The best trials", columns, worker.best()[:BEST], notes)


def confirmed_table(confirmed: Comparison) -> Table:
    """The default and the best settings of the search, with fresh seeds."""
    fresh = "The default is fit without the options that were searched. In the search, the best of many looks better."
    if confirmed.results[0].judge.in_percent:
        fresh += " All are trained on all training images, and the test set was read once, at the end of each run."
    table = results_table(
        "The best settings with fresh seeds", confirmed.arms, confirmed.results, notes=[fresh]
    )
    (first, *columns) = table.fields
    return replace(table, columns=[replace(first, name="setting"), *columns], key="confirmed")


def _row(trial: FrozenTrial) -> dict[str, Any]:
    """A row of search.csv."""
    return {
        "trial": trial.number,
        "ended": ending_of(trial),
        "epochs": len(trial.intermediate_values),
        "score": trial.values[0] if trial.values else None,
        **trial.params,
    }

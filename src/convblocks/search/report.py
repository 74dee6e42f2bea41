"""The report of a search: tables, figure and conclusion."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from convblocks.compare.options import VAL_SIZE
from convblocks.compare.trials import Trial, command_line, options_for
from convblocks.compare.wording import settings_text
from convblocks.console import command_words
from convblocks.figures.estimates import P_VALUE, PERCENT, RATIO, p_text
from convblocks.figures.page import Chart
from convblocks.figures.report import Report, publish
from convblocks.figures.tables import Column, Table
from convblocks.run.judge import Judge
from convblocks.search.confirm import Confirmed
from convblocks.search.figure import search_figure
from convblocks.search.space import ARCH
from convblocks.search.worker import SearchWorker, ending_of

BEST = 10


def report(worker: SearchWorker, confirmed: Sequence[Confirmed], repeat: str) -> None:
    """Write the report beside the trials, and print its tables and the command to go on with."""
    judge, trials = worker.plan.judge, worker.trials()
    sentences, command = conclusion(worker, confirmed)
    draw = partial(search_figure, trials, worker.config.dimensions(), judge)
    error = "Validation error" if judge.in_percent else judge.metric
    rows = [_row(trial) for trial in trials]
    content = Report(
        name="search",
        tables=[best_table(worker), *([confirmed_table(worker, confirmed)] if confirmed else [])],
        sentences=sentences,
        figures={"": Chart(draw, f"{error} of each trial: in their order, and against each option")},
        runs=rows,
        command=command,
        repeat=repeat,
        numbers={
            "config": worker.config.as_attributes(),
            "trials": [{key: value for key, value in row.items() if key != "seconds"} for row in rows],
            "command": command,
        },
    )
    publish(content, worker.config.directory)


def conclusion(worker: SearchWorker, confirmed: Sequence[Confirmed]) -> tuple[list[str], str]:
    """Whether the best trial beat the default with fresh seeds, and the command that writes the config of the better.

    Without fresh runs that is not known, and the command is the trial's.
    """
    judge, best = worker.plan.judge, worker.best()[0]
    trial = worker.config.trial(best.number, best.params)
    seen = f"{trial.label}: {judge.name_of(judge.metric)} {judge.text(best.values[0])} in the search"
    fresh = next((found for found in confirmed if found.name == trial.label), None)
    if fresh is None:
        unknown = "Whether it beats the default with fresh seeds is not known. This writes its config:"
        return [f"{seen}.", unknown], command_for(trial)
    score = f"collapsed with all {fresh.summary.runs} fresh seeds"
    if fresh.summary.score:
        score = f"{fresh.measured} {judge.text(fresh.summary.score.value)} with fresh seeds"
    lead = f", {fresh.difference:+u} against the default ({p_text(fresh.difference.p)})" if fresh.difference else ""
    if fresh.beats_default:
        return [f"{seen}, {score}{lead}.", "It beats the default. This writes its config:"], command_for(trial)
    stands = f"The default stands: {trial.label}, in {trial.run.config}, is not better at 5 %, or collapses more often."
    return [f"{seen}, {score}{lead}.", f"{stands} This writes the default's:"], command_for(replace(trial, chosen=()))


def command_for(trial: Trial) -> str:
    """The command that writes the config of a trial's settings, without held-out images."""
    options = [pair for pair in options_for(trial.arch, trial.overrides) if pair[0] != VAL_SIZE]
    arguments = shlex.join([f"--{trial.option}", trial.arch, *command_line(options)])
    name = shlex.quote(trial.comparison.replace("/", "-"))
    folder = "configs/" if Path("configs").is_dir() else ""
    return f"{' '.join(command_words('fit'))} {arguments} --print_config > {folder}{name}.yaml"


def best_table(worker: SearchWorker) -> Table:
    """The best trials, and how all of them ended."""
    config, judge, trials = worker.config, worker.plan.judge, worker.trials()

    def settings(found: FrozenTrial) -> str:
        trial = config.trial(found.number, found.params)
        return settings_text(options_for(trial.arch, trial.chosen), list(config.space))

    columns = [
        Column("trial", lambda found: f"trial_{found.number}"),
        Column(_seen(judge), lambda found: judge.number(found.values[0])),
        Column("network", lambda found: found.params.get(ARCH, config.archs[0])),
        Column("settings", settings),
    ]
    ended = ", ".join(f"{count} {how}" for how, count in Counter(map(ending_of, trials)).items())
    notes = [f"{len(trials)} trials: {ended}. Sampler {config.sampler}, seed {config.seed}, pruner {config.pruner}."]
    return Table("The best trials", columns, worker.best()[:BEST], notes)


def confirmed_table(worker: SearchWorker, confirmed: Sequence[Confirmed]) -> Table:
    """The best settings of the search and the default, with fresh seeds."""
    judge, default = worker.plan.judge, confirmed[-1]
    fresh, unit = (
        ("test %", PERCENT)
        if judge.in_percent
        else (default.measured, default.summary.score.unit if default.summary.score else RATIO)
    )
    columns = [
        Column("setting", lambda found: found.name, key="name"),
        Column("network", lambda found: found.summary.arch, priority=1, key="network"),
        Column(f"{_seen(judge)}\nin the search", lambda found: found.seen, unit, key="seen"),
        Column("trained", lambda found: f"{found.summary.trained_runs}/{found.summary.runs}", key="trained"),
        Column(f"{fresh}, fresh seeds\n[95 %]", lambda found: found.summary.score, key="score"),
        Column("minus default\n[95 %]", lambda found: found.difference, signed=True, key="difference"),
        Column("p", lambda found: found.difference and found.difference.p, P_VALUE, priority=2),
    ]
    once = ", trained on all training images; the test set was read once, at the end" if judge.in_percent else ""
    notes = [
        f"Fresh seeds: {default.summary.runs} from {worker.config.seed + 1} on{once}. Means are of the runs that "
        "trained. The default is fit without the options that were searched. In the search, the best of many looks "
        "better than it is."
    ]
    return Table("The best settings with fresh seeds", columns, confirmed, notes, key="confirmed")


def _seen(judge: Judge) -> str:
    """The heading of scores in the search."""
    return "validation %" if judge.in_percent else judge.metric


def _row(trial: FrozenTrial) -> dict[str, Any]:
    """A row of search.csv."""
    return {
        "trial": trial.number,
        "ended": ending_of(trial),
        "epochs": len(trial.intermediate_values),
        "score": trial.values[0] if trial.values else None,
        "seconds": trial.duration.total_seconds() if trial.duration else None,
        **trial.params,
    }

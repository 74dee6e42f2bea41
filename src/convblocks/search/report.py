"""The report of a search: tables, figure, and TensorBoard's HParams."""

import shlex
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from torch.utils.tensorboard import SummaryWriter

from convblocks.compare.options import VAL_SIZE
from convblocks.compare.training import Arm
from convblocks.compare.trials import choice_of, command_line, overrides_for
from convblocks.compare.wording import settings_text
from convblocks.console import command_words
from convblocks.figures.estimates import P_VALUE, PERCENT, p_text, unit_for
from convblocks.figures.page import Chart
from convblocks.figures.report import Report, publish
from convblocks.figures.tables import Column, Table
from convblocks.figures.tensorboard import tag_when_done
from convblocks.search.config import ARCH, SearchConfig
from convblocks.search.confirm import DEFAULT, Confirmed
from convblocks.search.figure import search_figure
from convblocks.search.worker import FAILED, best_first, ending_of

BEST = 10


def report(config: SearchConfig, trials: Sequence[FrozenTrial], confirmed: Sequence[Confirmed], repeat: str) -> None:
    """Write the report beside the trials and into TensorBoard, and print its tables and the command to go on with."""
    sentences, command = conclusion(config, trials, confirmed)
    error = "Validation error" if config.judge.in_percent else config.judge.metric
    draw = partial(search_figure, trials, config.dimensions(), config.judge)
    rows = [_row(trial) for trial in trials]
    content = Report(
        name="search",
        tables=[best_table(config, trials), *([confirmed_table(config, confirmed)] if confirmed else [])],
        sentences=sentences,
        figures={"": Chart(draw, f"{error} of each trial: in their order, and against each option")},
        runs=rows,
        command=command,
        repeat=repeat,
        numbers={
            "config": config.as_attributes(),
            "trials": [{key: value for key, value in row.items() if key != "seconds"} for row in rows],
            "command": command,
        },
    )
    publish(content, config.directory, partial(write_hparams, config, trials))


def conclusion(
    config: SearchConfig, trials: Sequence[FrozenTrial], confirmed: Sequence[Confirmed]
) -> tuple[list[str], str]:
    """Whether the best trial beat the default with fresh seeds, and the command that writes the config of that or this.

    Without fresh runs the best trial is not known to be better, and taken as it is.
    """
    judge, trial = config.judge, best_first(trials, config.judge)[0]
    name, best = f"trial_{trial.number}", config.chosen(trial.params)
    seen = f"{name}: {judge.name_of(judge.metric)} {judge.text(trial.values[0])} in the search"
    fresh = next((found for found in confirmed if found.name == name), None)
    if fresh is None:
        return [f"{seen}. Whether it beats the default with fresh seeds is not known. This writes its config:"], (
            command_for(config, best)
        )
    measured = f"{fresh.runs[0].score_name} with fresh seeds"
    score = (
        f"{judge.text(fresh.score.value)} {measured}"
        if fresh.score
        else f"collapsed with all {len(fresh.runs)} fresh seeds"
    )
    lead = f", {fresh.difference:+u} minus the default ({p_text(fresh.difference.p)})" if fresh.difference else ""
    sentence = f"{seen}, {score}{lead}."
    if fresh.beats_default:
        return [sentence, "It beats the default. This writes its config:"], command_for(config, best)
    settings = config.trial(trial.number, trial.params).run.config
    stands = f"The default stands, since {name} did not beat it at 5 %; {settings} has the trial's settings. "
    return [sentence, f"{stands}This writes the default's config:"], command_for(config, Arm(best.arch, ()))


def command_for(config: SearchConfig, arm: Arm) -> str:
    """The command that writes the config of these settings, without held-out images."""
    overrides = [pair for pair in overrides_for(arm.arch, config.overrides + arm.overrides) if pair[0] != VAL_SIZE]
    arguments = shlex.join([*choice_of(arm.arch, config.overrides), *command_line(tuple(overrides))])
    name = shlex.quote(config.name.replace("/", "-"))
    folder = "configs/" if Path("configs").is_dir() else ""
    return f"{' '.join(command_words('fit'))} {arguments} --print_config > {folder}{name}.yaml"


def best_table(config: SearchConfig, trials: Sequence[FrozenTrial]) -> Table:
    """The best trials, and how all of them ended."""

    def settings(trial: FrozenTrial) -> str:
        return settings_text(overrides_for(*config.chosen(trial.params)), list(config.space))

    name = "validation %" if config.judge.in_percent else config.judge.metric
    ended = ", ".join(f"{count} {how}" for how, count in Counter(map(ending_of, trials)).items())
    columns = [
        Column("trial", lambda trial: f"trial_{trial.number}"),
        Column(name, lambda trial: trial.values[0], text=lambda trial: config.judge.number(trial.values[0])),
        Column("network", lambda trial: config.chosen(trial.params).arch),
        Column("settings", settings),
    ]
    notes = [f"{len(trials)} trials: {ended}. Sampler {config.sampler}, seed {config.seed}, pruner {config.pruner}."]
    return Table("The best trials", columns, best_first(trials, config.judge)[:BEST], notes)


def confirmed_table(config: SearchConfig, confirmed: Sequence[Confirmed]) -> Table:
    """The best settings in the search, and with fresh seeds."""
    images, measured = config.judge.in_percent, confirmed[0].runs[0].score_name
    unit = PERCENT if images else unit_for([found.seen for found in confirmed if found.seen is not None])
    columns = [
        Column("setting", lambda found: found.name, key="name"),
        Column("network", lambda found: found.runs[0].arch, priority=1, key="network"),
        Column(
            f"{'validation %' if images else config.judge.metric}\nin the search",
            lambda found: found.seen,
            unit,
            key="seen",
        ),
        Column("trained", lambda found: f"{len(found.trained)}/{len(found.runs)}", key="trained"),
        Column(f"{'test %' if images else measured}, fresh seeds\n[95 %]", lambda found: found.score, key="score"),
        Column("minus default\n[95 %]", lambda found: found.difference, signed=True, key="difference"),
        Column("p", lambda found: found.difference and found.difference.p, P_VALUE, priority=2),
    ]
    data = ", trained on all training images; the test set was read once, at the end of each run" if images else ""
    notes = [
        f"{len(confirmed[-1].runs)} fresh seeds from {config.seed + 1} on{data}. Means are of the runs that trained. "
        f"The {DEFAULT} is fit without the options that were searched. The best of many trials looks better in the "
        "search than it is."
    ]
    return Table("The best settings with fresh seeds", columns, confirmed, notes, key="confirmed")


def write_hparams(config: SearchConfig, trials: Sequence[FrozenTrial], writer: SummaryWriter) -> None:
    """Write each trial to the HParams tab, including pruned ones."""
    for trial in trials:
        if trial.values:
            params = {ARCH: config.archs[0]} | trial.params | {"ended": ending_of(trial)}
            metrics = {tag_when_done(config.judge.metric): trial.values[0]}
            writer.add_hparams(params, metrics, run_name=f"trial_{trial.number}", global_step=trial.last_step or 0)


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

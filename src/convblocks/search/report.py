"""The report of a search: tables, figure, and TensorBoard's HParams."""

import shlex
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial
from torch.utils.tensorboard import SummaryWriter

from convblocks.compare.options import VAL_SIZE
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.compare.trials import choice_of, command_line, overrides_for
from convblocks.compare.wording import settings_text
from convblocks.console import command_words
from convblocks.figures.estimates import NOTHING, P_VALUE, cell, number, p_text
from convblocks.figures.page import Chart
from convblocks.figures.report import Report, publish
from convblocks.figures.tables import Table
from convblocks.figures.tensorboard import tag_when_done
from convblocks.run.judge import ACCURACY, Judge
from convblocks.search.config import ARCH, SearchConfig
from convblocks.search.confirm import Confirmed
from convblocks.search.figure import Point, search_figure
from convblocks.search.worker import COLLAPSED, FAILED, best_first, ending_of

BEST = 10

# With fewer complete trials an importance is mostly chance.
ENOUGH_FOR_IMPORTANCE = 20


def report(config: SearchConfig, study: Study, confirmed: Sequence[Confirmed], repeat: str = "") -> None:
    """Write the report beside the trials and into TensorBoard, and print its tables and the winner's command."""
    trials = study.get_trials(deepcopy=False)
    importance = importance_of(study)
    command = winner(config, trials)
    by = f"{config.judge.name_of(config.judge.metric)}{', not by the test set' if config.judge.in_percent else ''}"
    winner_text = f"The winner is the best by {by}. This writes its config:"
    tables = [best_table(config, trials), *([confirmed_table(config, confirmed)] if confirmed else [])]
    tables += [importance_table(importance, trials)] if importance else []
    draw = partial(search_figure, points_of(trials), config.dimensions(), importance, config.judge)
    error = "Validation error" if config.judge.in_percent else config.judge.metric
    content = Report(
        name="search",
        tables=tables,
        sentences=[*(conclusion(one, config.judge) for one in confirmed[:1] if one.seen is not None), winner_text],
        figures={"": Chart(draw, f"{error} of each trial: in their order, and against each option")},
        runs=[_row(one) for one in trials],
        command=command,
        repeat=repeat,
        numbers={
            "config": config.as_attributes(),
            "trials": [_as_numbers(one) for one in trials],
            "importance": importance,
            "confirmed": [msgspec.to_builtins(one) | {"optimism": one.optimism} for one in confirmed],
            "winner": command,
        },
    )
    publish(content, config.directory(), partial(write_hparams, config, trials))


def winner(config: SearchConfig, trials: Sequence[FrozenTrial]) -> str:
    """The command that writes the config of the best trial, without held-out images."""
    arch, chosen = config.chosen(best_first(trials, config.judge)[0].params)
    overrides = [pair for pair in overrides_for(arch, config.overrides + chosen) if pair[0] != VAL_SIZE]
    arguments = shlex.join([*choice_of(arch, config.overrides), *command_line(tuple(overrides))])
    name = shlex.quote(config.name.replace("/", "-"))
    folder = "configs/" if Path("configs").is_dir() else ""
    return f"{' '.join(command_words('fit'))} {arguments} --print_config > {folder}{name}.yaml"


def best_table(config: SearchConfig, trials: Sequence[FrozenTrial]) -> Table:
    """The best trials, and how all of them ended."""
    rows = []
    for one in best_first(trials, config.judge)[:BEST]:
        arch, chosen = config.chosen(one.params)
        settings = settings_text(overrides_for(arch, chosen), list(config.space))
        rows.append([f"trial_{one.number}", config.judge.number(one.values[0]), arch, settings])
    ended = ", ".join(f"{count} {how}" for how, count in Counter(map(ending_of, trials)).items())
    notes = [f"{len(trials)} trials: {ended}. Sampler {config.sampler}, seed {config.seed}, pruner {config.pruner}."]
    return Table("The best trials", ["trial", score_heading(config), "network", "settings"], rows, notes)


def confirmed_table(config: SearchConfig, confirmed: Sequence[Confirmed]) -> Table:
    """The best settings in the search, and with fresh seeds."""
    rows = [
        [
            one.name,
            one.summary.arch,
            NOTHING if one.seen is None else config.judge.number(one.seen),
            f"{one.summary.trained_runs}/{one.summary.runs}",
            cell(one.summary.score),
            cell(one.difference, signed=True),
            number(one.difference.p, P_VALUE) if one.difference else NOTHING,
            NOTHING if one.optimism is None else optimism_text(config, one.optimism),
        ]
        for one in confirmed
    ]
    of_images = config.judge.in_percent
    fresh = "test %" if of_images else confirmed[0].measured
    columns = [
        "setting",
        "network",
        f"{score_heading(config)}\nin the search",
        "trained",
        f"{fresh}, fresh seeds\n[95 %]",
    ]
    columns += ["minus default\n[95 %]", "p", "optimism"]
    default = confirmed[-1].summary
    how = ", trained on all training images; the test set was read once, at the end of each run" if of_images else ""
    points = ", in points" if of_images else ""
    notes = [
        f"Fresh seeds: {default.runs} of each from {config.seed + 1} on{how}. Means are of the runs that trained. "
        f"Default: fit without the options that were searched, with {default.arch}. Optimism: by how much the search "
        f"saw better scores than fresh seeds have on average{points}; the best of many trials looks better than it is."
    ]
    return Table("The best settings with fresh seeds", columns, rows, notes)


def score_heading(config: SearchConfig) -> str:
    """Of a column of scores in the search."""
    return "validation %" if config.judge.in_percent else config.judge.metric


def optimism_text(config: SearchConfig, optimism: float) -> str:
    """In points, of accuracies."""
    return f"{100 * optimism:+.2f}" if config.judge.in_percent else f"{optimism:+.4g}"


def importance_table(importance: dict[str, float], trials: Sequence[FrozenTrial]) -> Table:
    """The importance of each option."""
    rows = [[option, f"{100 * share:.0f} %"] for option, share in importance.items()]
    complete = len(best_first(trials))
    notes = ["PED-ANOVA of Optuna, over the complete trials."]
    if complete < ENOUGH_FOR_IMPORTANCE:
        notes.append(f"These are {complete}: with fewer than {ENOUGH_FOR_IMPORTANCE}, importances are mostly chance.")
    return Table("Importance", ["option", "importance"], rows, notes)


def importance_of(study: Study) -> dict[str, float]:
    """The share of each option, the largest first; empty with fewer than two different results."""
    if len({one.values[0] for one in best_first(study.get_trials(deepcopy=False))}) < 2:
        return {}
    # Imports scikit-learn and pandas: two seconds and 90 MB that a search needs only here.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


def points_of(trials: Sequence[FrozenTrial]) -> list[Point]:
    """The finished trials with a score, for the figure."""
    return [
        Point(one.number, float(one.values[0]), ending_of(one), one.params)
        for one in trials
        if one.values and one.state.is_finished()
    ]


def write_hparams(config: SearchConfig, trials: Sequence[FrozenTrial], writer: SummaryWriter) -> None:
    """Write each trial to the HParams tab, including pruned ones."""
    for one in trials:
        if one.values:
            params = {ARCH: config.archs[0]} | one.params | {"ended": ending_of(one)}
            metrics = {tag_when_done(config.judge.metric): one.values[0]}
            writer.add_hparams(params, metrics, run_name=f"trial_{one.number}", global_step=one.last_step or 0)


def conclusion(best: Confirmed, judge: Judge = ACCURACY) -> str:
    """The conclusion on the best setting of the search."""
    score, result = best.summary.score, best.difference
    if score is None or best.seen is None:
        runs = best.summary.runs
        return f"{best.name} collapsed with all of {runs} fresh seeds: its score in the search was luck."
    where = " on the test set" if judge.in_percent else ""
    fresh = f"{judge.text(best.seen)} in the search, {judge.text(score.value)}{where} with fresh seeds"
    if result is None:
        return f"{best.name}: {fresh}. No run of the default setting trained to compare it with."
    points, p = f"{number(abs(result.value), result.unit)}{result.unit.name}", p_text(result.p)
    if result.p >= SIGNIFICANCE:
        return f"{best.name}: {fresh}. That it differs from the default is not certain (by {points}, {p})."
    return (
        f"{best.name}: {fresh}. It is {'better' if judge.sign * result.value > 0 else 'worse'} than the default by "
        f"{points} ({p})."
    )


def _as_numbers(trial: FrozenTrial) -> dict[str, Any]:
    """A trial without its times, which differ between days."""
    return {
        "number": trial.number,
        "ended": ending_of(trial),
        "score": trial.values[0] if trial.values else None,
        "params": trial.params,
        "epochs": {str(epoch): score for epoch, score in sorted(trial.intermediate_values.items())},
        "attributes": {key: trial.user_attrs[key] for key in (COLLAPSED, FAILED) if key in trial.user_attrs},
    }


def _row(trial: FrozenTrial) -> dict[str, Any]:
    """A row of search.csv."""
    seconds = trial.duration.total_seconds() if trial.duration else None
    row = {"trial": trial.number, "ended": ending_of(trial), "epochs": len(trial.intermediate_values)}
    return row | {"score": trial.values[0] if trial.values else None, "seconds": seconds} | trial.params

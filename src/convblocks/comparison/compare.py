"""A comparison, from the command line to its report."""

import dataclasses
import math
import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from torch.utils.tensorboard import SummaryWriter
from torchinfo import summary as torchinfo_summary

from convblocks import training
from convblocks.atomic import write
from convblocks.comparison.details import as_markdown
from convblocks.comparison.figure import answer_cards, answer_figure, comparison_cards, comparison_figure
from convblocks.comparison.findings import as_numbers, find
from convblocks.comparison.options import MOST_TRIALS, fit_settings, image_spec_of, parse
from convblocks.comparison.outcomes import RunResult, read_outcome
from convblocks.comparison.progress import Progress, columns_of
from convblocks.comparison.report import conclusions, screen
from convblocks.comparison.trials import Settings, Trial, all_trials, fit_all, settings_name, stops_are_told
from convblocks.console import echo
from convblocks.errors import UsageError, UserError
from convblocks.evaluation.drawing import CARD, drawn, save
from convblocks.model.networks import ARCHITECTURES
from convblocks.runs.directory import RunDirectory
from convblocks.runs.tags import VISUALS
from convblocks.tables import as_csv, as_json, as_shown, percent, terminal, to_console
from convblocks.training import building, slurm
from convblocks.training import options as fit_options
from convblocks.training.fit import rank_zero_errors
from convblocks.training.quiet import quiet_lightning


def main(arguments: list[str]) -> None:
    """Train what is missing, then report.

    Raises:
        UsageError: options or a grid that fit.py does not take.
        UserError: a run with other settings in the way, or trials that are missing at the end.
    """
    quiet_lightning()
    launched = dict(os.environ)
    with rank_zero_errors():
        options = parse(arguments)
        if options.trial is None and (launcher := slurm.launcher_of_several()):
            raise UsageError(
                f"{launcher} is for the processes of one trial: write --trial NUMBER, or leave {launcher} out, since "
                "with --trainer.devices N this starts N processes for each trial itself"
            )
        slurm.hide_launcher()
        trials = trials_of(options)
        refuse_conflict(trials)
        if options.trial is not None:
            become(trials, options.trial, launched)
    failed = [] if options.no_fit else fit_missing(RunDirectory(options.name, options.root), trials, options.jobs)
    done = [trial for trial in trials if trial.state() == "done"]
    if done:
        report(options, read_all(done))
    missing = [trial for trial in trials if trial not in done]
    if missing:
        names = ", ".join(trial.run.name for trial in missing)
        logs = "".join(f"; see {trial.log}" for trial in failed)
        raise UserError(f"{len(missing)} of {len(trials)} trials are not done: {names}{logs}")


def trials_of(options: Namespace) -> list[Trial]:
    """All runs of a comparison, whether they are there or not."""
    points = math.prod(len(values) for values in options.grid.values())
    if (count := len(options.arch) * len(options.seeds) * points) > MOST_TRIALS:
        raise UsageError(f"these are {count:,} trials, and {MOST_TRIALS:,} are the most: give fewer --seeds or values")
    known = [arch for arch in ARCHITECTURES if arch in options.arch]
    archs = [*known, *(arch for arch in dict.fromkeys(options.arch) if arch not in ARCHITECTURES)]
    trials = all_trials(options.name, archs, options.seeds, options.settings, options.grid)
    if len({trial.run.path for trial in trials}) < len(trials):
        raise UsageError("--grid: two of its values would be kept under the same name")
    return trials


def refuse_conflict(trials: Sequence[Trial]) -> None:
    """Refuse options that fit.py does not take, a grid's values that mean the same, and runs with other settings."""
    settings = {key: fit_settings(trial) for key, trial in _one_of_each(trials).items()}
    if len({as_json(one) for one in settings.values()}) < len(settings):
        raise UsageError("--grid: two of its values are the same")
    for trial in trials:
        if trial.run.config.is_file():
            expected = settings[trial.arch, trial.settings] | {"seed": trial.seed}
            if changed := trial.run.changed_settings(expected):
                raise UserError(f"{changed}: choose another --name, or move that run away")


def become(trials: Sequence[Trial], number: int, environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by fit.py for one trial: signals, and what a launcher says, then reach the run itself.

    Raises:
        UsageError: there is no trial of that number.
    """
    if not 0 <= number < len(trials):
        raise UsageError(f"--trial {number}: there are trials 0 to {len(trials) - 1}")
    os.execve(sys.executable, [sys.executable, "-m", training.__name__, *trials[number].arguments()], environment)


def fit_missing(directory: RunDirectory, trials: Sequence[Trial], jobs: int) -> list[Trial]:
    """Train or resume what is not done, the most work first so that no job idles at the end; returns what failed.

    Raises:
        Stopped: a signal came, or Ctrl-C; the same command carries on.
        UsageError: the trials need several nodes, and this is one.
        UserError: another process works on the comparison.
    """
    missing = [trial for trial in trials if trial.state() != "done"]
    settings = {key: fit_options.parse(trial.arguments()).settings for key, trial in _one_of_each(missing).items()}
    for one in settings.values():
        slurm.check_layout(one["trainer"].get("devices", "auto"), one["trainer"].get("num_nodes", 1))
    work = {key: _multiply_adds(one) for key, one in settings.items()}
    missing.sort(key=lambda trial: -work[trial.arch, trial.settings] * abs(trial.epochs))
    if not missing:
        return []
    failed = []
    directory.create()
    columns, common = columns_of(trials)
    with directory.lock(), stops_are_told(), Progress(len(missing), terminal(), columns, common) as progress:
        queue = iter(missing)
        for ended, (trial, status) in enumerate(fit_all(lambda: next(queue, None), jobs, progress.update), start=1):
            succeeded = status == 0 and trial.state() == "done"
            progress.finish(trial, _result(trial) if succeeded else f"FAILED, see {trial.log}", ended)
            if not succeeded:
                failed.append(trial)
    return failed


def read_all(trials: Sequence[Trial]) -> list[RunResult]:
    """The outcomes of trials that are done.

    Raises:
        UserError: they were trained on different images, as far as they tell, or a summary is damaged.
    """
    outcomes = [read_outcome(trial) for trial in trials]
    paths = {as_json(one.data): trial.run.path for trial, one in zip(trials, outcomes, strict=True) if one.data}
    if len(paths) > 1:
        first, second, *_ = paths.values()
        raise UserError(f"{first} and {second} were trained on different data: move one away, or choose another --name")
    return outcomes


def report(options: Namespace, outcomes: Sequence[RunResult]) -> None:
    """Write the report beside the runs and into TensorBoard, and print what fits on one screen of it."""
    findings = find(outcomes)
    on_screen, believed = screen(findings), conclusions(findings)
    directory = RunDirectory(options.name, options.root)
    directory.create()
    path = directory.path / "comparison"
    markdown = as_markdown(findings)
    draw = partial(answer_figure, outcomes, []) if findings.swept else partial(comparison_figure, outcomes)
    cards = answer_cards(outcomes) if findings.swept else comparison_cards(outcomes)
    save(draw, path.with_suffix(".png"))
    rows = as_csv([_row(outcome) for outcome in outcomes])
    for suffix, text in ((".md", markdown), (".json", as_json(as_numbers(findings))), (".csv", rows)):
        write(path.with_suffix(suffix), text)
    with SummaryWriter(str(path)) as writer:
        writer.add_text("comparison", markdown)
        for name, draw_card in cards.items():
            writer.add_figure(f"{VISUALS}/comparison/{name}", drawn(draw_card, CARD))
    echo(f"\nDetails: {as_shown(path)}.md, .csv, .json, .png; in TensorBoard {options.name}/comparison\n")
    to_console(on_screen, terminal())
    for line in believed:
        echo(line)


def _row(outcome: RunResult) -> dict[str, Any]:
    """A run's line in comparison.csv."""
    left_out = ("epochs", "images", "provenance", "mistakes", "data")
    row = {name: value for name, value in dataclasses.asdict(outcome).items() if name not in left_out}
    return row | {"settings": settings_name(outcome.settings)}


def _one_of_each(trials: Sequence[Trial]) -> dict[tuple[str, Settings], Trial]:
    """One trial of each network at each setting, whose seeds differ only."""
    return {(trial.arch, trial.settings): trial for trial in trials}


def _result(trial: Trial) -> str:
    summary = trial.run.read_summary()
    return f"test accuracy {percent(summary['final']['test/acc'])}, {summary['seconds']:.1f} s"


def _multiply_adds(settings: dict[str, Any]) -> int:
    image_spec = image_spec_of(settings)
    network = building.build_classifier(settings, image_spec).network
    return int(torchinfo_summary(network, input_size=(1, *image_spec.shape), verbose=0).total_mult_adds)

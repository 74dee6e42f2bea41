"""A comparison, from the command line to its report."""

import dataclasses
import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pandas
from rich.console import Console
from torch.utils.tensorboard import SummaryWriter
from torchinfo import summary as torchinfo_summary

from convblocks import figures
from convblocks.arguments import Parser
from convblocks.atomic import atomic_write
from convblocks.cli import FitCLI
from convblocks.comparison import Outcome, best_settings, compare, read_outcome
from convblocks.errors import UsageError, UserError
from convblocks.networks import ARCHITECTURES
from convblocks.progress import Progress
from convblocks.report import Table, comparison_tables, grid_table, to_console, to_markdown
from convblocks.runs import RunDirectory
from convblocks.trials import Trial, all_trials, fit_all, settings_name

FIT = Path(__file__).resolve().parents[2] / "scripts" / "fit.py"

# Set by this command itself for every trial.
OWN_OPTIONS = ("arch", "seed", "name", "resume", "epochs", "threads")


def main(arguments: list[str]) -> None:
    """Train what is missing, then report.

    Raises:
        UsageError: options or a grid that fit.py does not take.
        UserError: a run with other settings in the way, or trials that are missing at the end.
    """
    options = parse(arguments)
    archs = [arch for arch in ARCHITECTURES if arch in options.arch]
    trials = all_trials(options.name, archs, options.seeds, options.settings, options.grid)
    check(trials)
    if options.trial is not None:
        become(trials, options.trial)
    failed = [] if options.no_fit else fit_missing(trials, options.jobs)
    done = [trial for trial in trials if trial.state() == "done"]
    if done:
        report(options, [read_outcome(trial) for trial in done])
    missing = [trial for trial in trials if trial not in done]
    if missing:
        names = ", ".join(trial.run.name for trial in missing)
        logs = "".join(f"; see {trial.log}" for trial in failed)
        raise UserError(f"{len(missing)} of {len(trials)} trials are not done: {names}{logs}")


def parse(arguments: list[str]) -> Namespace:
    """The options, with ``settings`` (the same for all trials) and ``grid`` (those that are swept)."""
    parser = Parser()
    parser.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), choices=list(ARCHITECTURES))
    parser.add_argument("--seeds", type=_seeds, default=_seeds("10"))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--name", default="compare")
    parser.add_argument("--grid", type=_grid, action="append", default=[])
    parser.add_argument("--no-fit", action="store_true")
    parser.add_argument("--trial", type=int)
    options, others = parser.parse_known_args(arguments)
    if options.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, but is {options.jobs}")
    given = _pairs(others)
    if options.epochs is None:
        options.epochs = _default_epochs(options.arch[0], given.get("config"))
    fixed = {"epochs": str(options.epochs), "threads": str(options.threads)}
    options.settings = tuple((fixed | given).items())
    if len(dict(options.grid)) < len(options.grid):
        raise UsageError("--grid: each option can be swept once")
    options.grid = dict(options.grid)
    for option in options.grid:
        if option in dict(options.settings) or option in OWN_OPTIONS:
            raise UsageError(f"--grid {option}: this option is set for all trials already")
    return options


def check(trials: Sequence[Trial]) -> None:
    """Refuse options that fit.py does not take, and runs in the trials' directories that have other settings."""
    settings = {(trial.arch, trial.settings): _fit_settings(trial) for trial in trials}
    for trial in trials:
        if trial.run.config.is_file():
            expected = settings[trial.arch, trial.settings] | {"seed": trial.seed}
            if changed := trial.run.changed_settings(expected):
                raise UserError(f"{changed}: choose another --name, or move that run away")


def become(trials: Sequence[Trial], number: int) -> NoReturn:
    """Replace this process by fit.py for one trial: signals then reach the run itself.

    Raises:
        UsageError: there is no trial of that number.
    """
    if not 0 <= number < len(trials):
        raise UsageError(f"--trial {number}: there are trials 0 to {len(trials) - 1}")
    os.execv(sys.executable, [sys.executable, str(FIT), *trials[number].arguments()])


def fit_missing(trials: Sequence[Trial], jobs: int) -> list[Trial]:
    """Train or resume what is not done, the most work first so that no job idles at the end; returns what failed."""
    missing = [trial for trial in trials if trial.state() != "done"]
    work = {arch: _multiply_adds(arch) for arch in {trial.arch for trial in missing}}
    missing.sort(key=lambda trial: -work[trial.arch] * trial.epochs)
    failed = []
    with Progress(missing, Console()) as progress:
        for trial, succeeded in fit_all(missing, jobs, progress.update):
            progress.finish(trial, succeeded)
            if not succeeded:
                failed.append(trial)
    return failed


def report(options: Namespace, outcomes: Sequence[Outcome]) -> None:
    """Print the report and write it beside the runs and into TensorBoard."""
    grid = list(options.grid)
    tables: list[Table] = [grid_table(outcomes)] if grid else []
    numbers: dict[str, Any] = {}
    comparisons = _comparisons(outcomes, bool(grid))
    for title, chosen in comparisons.items():
        comparison = compare(chosen)
        tables += [dataclasses.replace(table, title=f"{title}{table.title}") for table in comparison_tables(comparison)]
        numbers[title.removesuffix(": ") or "comparison"] = dataclasses.asdict(comparison)
    directory = RunDirectory(options.name)
    directory.create()
    path = directory.path / "comparison"
    markdown = to_markdown(tables)
    compared = next(iter(comparisons.values())) if len(comparisons) == 1 else []
    figure = figures.draw(compared, outcomes, grid)
    figures.save(figure, path.with_suffix(".png"))
    _frame(outcomes).to_csv(path.with_suffix(".csv"), index=False)
    for suffix, text in ((".md", markdown), (".json", json.dumps(numbers, indent=2))):
        with atomic_write(path.with_suffix(suffix)) as file:
            file.write(text.encode())
    with SummaryWriter(str(path)) as writer:
        writer.add_text("comparison", markdown)
        writer.add_figure("comparison", figure)
    console = Console()
    to_console(tables, console)
    console.print(f"Written to {path}.md, .csv, .json and .png, and into TensorBoard under {options.name}/comparison.")


def _comparisons(outcomes: Sequence[Outcome], has_grid: bool) -> dict[str, list[Outcome]]:
    """The sets of runs to compare, by title: without a grid all; else each architecture at its own best setting.

    Without a validation split nothing may be chosen, so every setting is compared on its own.
    """
    if not has_grid:
        return {"": list(outcomes)}
    if all(outcome.validation is not None for outcome in outcomes):
        return {"Each network at its own best setting, chosen on validation images: ": best_settings(outcomes)}
    return {
        f"{settings_name(settings)}: ": [outcome for outcome in outcomes if outcome.settings == settings]
        for settings in dict.fromkeys(outcome.settings for outcome in outcomes)
    }


def _frame(outcomes: Sequence[Outcome]) -> pandas.DataFrame:
    """One row a run."""
    rows = []
    for outcome in outcomes:
        row: dict[str, Any] = dataclasses.asdict(outcome)
        del row["epochs"]
        rows.append(row | {"settings": settings_name(outcome.settings)})
    return pandas.DataFrame(rows)


def _fit_settings(trial: Trial) -> dict[str, Any]:
    """What fit.py makes of a trial's command line, or its complaint."""
    return FitCLI(trial.arguments()).settings()


def _default_epochs(arch: str, config: str | None) -> int:
    """How many epochs fit.py trains for, with a config or without one."""
    flags = [] if config is None else ["--config", config]
    epochs: int = FitCLI(["--arch", arch, *flags]).config.epochs
    return epochs


def _multiply_adds(arch: str) -> int:
    info = torchinfo_summary(ARCHITECTURES[arch](), input_size=(1, 1, 28, 28), verbose=0)
    return int(info.total_mult_adds)


def _seeds(text: str) -> list[int]:
    """``3`` means seeds 0, 1, 2; ``0,4,7`` these three."""
    seeds = [int(part) for part in text.split(",") if part] if "," in text else list(range(int(text)))
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text}: give a number of seeds above 0, or different seeds such as 0,4,7")
    return seeds


def _grid(text: str) -> tuple[str, list[str]]:
    option, _, values = text.partition("=")
    swept = [value for value in values.split(",") if value]
    if not option or len(set(swept)) < max(len(swept), 1):
        raise UsageError(f"--grid {text}: give an option of fit.py and different values, such as lr=1e-3,1e-2")
    return option.removeprefix("--"), swept


def _pairs(others: Sequence[str]) -> dict[str, str]:
    """Options that are not this command's own are fit.py's: ``--key value`` or ``--key=value``."""
    pairs: dict[str, str] = {}
    words = iter(others)
    for word in words:
        if not word.startswith("--"):
            raise UsageError(f"unrecognized argument: {word}")
        option, equals, value = word.removeprefix("--").partition("=")
        if option in OWN_OPTIONS:
            raise UsageError(f"--{option} is set by the comparison itself")
        if not equals and (value := next(words, "")) == "":
            raise UsageError(f"--{option} needs a value")
        pairs[option] = value
    return pairs

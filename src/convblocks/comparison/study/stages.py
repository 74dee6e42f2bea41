"""The study's two stages, from the command line to their reports."""

from argparse import Namespace
from collections.abc import Sequence
from functools import partial

from convblocks.atomic import write
from convblocks.comparison import compare
from convblocks.comparison.figure import dead_units_figure
from convblocks.comparison.options import parse as parse_comparison
from convblocks.comparison.outcomes import RunResult, by_arch
from convblocks.comparison.study.causes import causes, dead_units_table
from convblocks.comparison.study.decision import at_notebooks, cell_of, decide
from convblocks.comparison.study.figure import decision_figure
from convblocks.comparison.study.plan import HELD_OUT, Cell, Scores, chosen, to_choose, to_confirm
from convblocks.comparison.study.report import choice_table, decision_tables, verdict
from convblocks.comparison.trials import Trial
from convblocks.console import echo
from convblocks.errors import UsageError, UserError
from convblocks.evaluation.drawing import save
from convblocks.runs.directory import RunDirectory
from convblocks.tables import Table, as_shown, terminal, to_console, to_markdown
from convblocks.training import slurm
from convblocks.training.fit import rank_zero_errors
from convblocks.training.quiet import quiet_lightning

# What the study's protocol says, and nobody else.
SETTLED = ("--seeds", "--grid", "--trial", "--lr", "--lr_scheduler", "--data.val_size")


def main(arguments: list[str]) -> None:
    """Run a stage as far as it is not done, then report.

    Raises:
        UsageError: no such stage, or an option that is not for a study.
        UserError: a run failed, has other settings, or the first stage is not done.
    """
    quiet_lightning()
    with rank_zero_errors():
        if not arguments or arguments[0] not in STAGES:
            raise UsageError(f"say which stage: {' or '.join(STAGES)}")
        options = parse(arguments[1:])
        slurm.hide_launcher()
        STAGES[arguments[0]](options)


def parse(arguments: list[str]) -> Namespace:
    """A comparison's options, without those that the protocol settles."""
    for argument in arguments:
        if (option := argument.partition("=")[0]) in SETTLED:
            raise UsageError(f"{option} is settled by the study's protocol: see docs/protocol.md")
    return parse_comparison(["--name", "study", *arguments])


def choose(options: Namespace) -> None:
    """Find each network's best setting."""
    outcomes = outcomes_of_choice(options, fit=not options.no_fit)
    choices = choices_of(outcomes)
    of_each = ", ".join(f"{arch} {' '.join(cell)}" for arch, cell in choices.items())
    _report(options, "choose", [choice_table(outcomes, choices)], [f"Chosen: {of_each}."])


def confirm(options: Namespace) -> None:
    """Judge the networks at the notebook's setting and at the ones that were chosen."""
    choice = outcomes_of_choice(options, fit=False)
    choices = choices_of(choice)
    outcomes = outcomes_of_confirmation(options, choices, fit=not options.no_fit)
    decision = decide(outcomes, choices)
    sentences = [*verdict(decision), *causes([*choice, *outcomes])]
    folder = _report(options, "confirm", decision_tables(decision), sentences, [dead_units_table(outcomes)])
    save(partial(decision_figure, [*choice, *outcomes], decision), folder.path / "report.png")
    save(partial(dead_units_figure, at_notebooks(outcomes)), folder.path / "silence.png")


STAGES = {"choose": choose, "confirm": confirm}


def outcomes_of_choice(options: Namespace, fit: bool) -> list[RunResult]:
    """All runs of the first stage: which there are depends on what the first ones find.

    Raises:
        UserError: a run is not there, or failed.
    """
    trials: list[Trial] = []
    outcomes: list[RunResult] = []
    while len(wanted := _trials_to_choose(options, outcomes)) > len(trials):
        _finish(options, "choose", [one for one in wanted if one not in trials], fit)
        trials, outcomes = wanted, compare.read_all(wanted)
    return outcomes


def outcomes_of_confirmation(options: Namespace, choices: dict[str, Cell], fit: bool) -> list[RunResult]:
    """All runs of the second stage.

    Raises:
        UserError: a run is not there, or failed.
    """
    trials = [_trial(options, "confirm", arch, *run) for arch, cell in choices.items() for run in to_confirm(cell)]
    _finish(options, "confirm", trials, fit)
    return compare.read_all(trials)


def choices_of(outcomes: Sequence[RunResult]) -> dict[str, Cell]:
    """Each network's setting, as far as its runs of the first stage are all there."""
    found = {arch: chosen(_scores(own)) for arch, own in by_arch(outcomes).items()}
    return {arch: cell for arch, cell in found.items() if cell}


def _trials_to_choose(options: Namespace, outcomes: Sequence[RunResult]) -> list[Trial]:
    held_out = Namespace(**vars(options) | {"settings": (*options.settings, ("data.val_size", str(HELD_OUT)))})
    done = by_arch(outcomes)
    return [
        _trial(held_out, "choose", arch, cell, seed)
        for arch in dict.fromkeys(options.arch)
        for cell, seed in to_choose(_scores(done.get(arch, [])))
    ]


def _scores(outcomes: Sequence[RunResult]) -> Scores:
    return {(cell_of(one), one.seed): one.validation for one in outcomes if one.validation is not None}


def _trial(options: Namespace, stage: str, arch: str, cell: Cell, seed: int) -> Trial:
    return Trial(f"{options.name}/{stage}", arch, (*options.settings, *cell.settings), seed)


def _finish(options: Namespace, stage: str, trials: Sequence[Trial], fit: bool) -> None:
    """Train what is missing of these trials, if wanted, and refuse to go on without them."""
    compare.refuse_conflict(trials)
    failed = compare.fit_missing(_directory(options, stage), trials, options.jobs) if fit else []
    if missing := [trial for trial in trials if trial.state() != "done"]:
        hint = "" if fit else f": python scripts/study.py {stage}"
        logs = "".join(f"; see {trial.log}" for trial in failed)
        raise UserError(f"{len(missing)} runs of stage {stage} are not done{hint}{logs}")


def _report(
    options: Namespace, stage: str, tables: Sequence[Table], sentences: Sequence[str], details: Sequence[Table] = ()
) -> RunDirectory:
    """Print a stage's tables and sentences, and keep them and what is not for the screen in its folder."""
    folder = _directory(options, stage)
    believed = "\n".join(f"- {line}" for line in sentences)
    write(folder.path / "report.md", "\n".join([to_markdown(tables), believed, "", to_markdown(details)]))
    echo(f"\nAlso in {as_shown(folder.path / 'report.md')}\n")
    to_console(tables, terminal())
    for line in sentences:
        echo(line)
    return folder


def _directory(options: Namespace, stage: str) -> RunDirectory:
    return RunDirectory(f"{options.name}/{stage}", options.root)

"""Refuses runs that must not stand in one comparison: with other data or other code than
today's, or than each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count

from convblocks.compare.dry_run import Plan, Plans
from convblocks.compare.trials import Arm, Trial
from convblocks.console import echo
from convblocks.errors import UserError
from convblocks.record.directory import RunDirectory, first_change
from convblocks.record.own_code import changed, shown
from convblocks.record.provenance import latest_code, read_origin
from convblocks.record.result import RunResult
from convblocks.settings.words import full_name
from convblocks.text import Settings, as_json, as_shown

# Options of the Trainer that say how long a run trains.
LENGTH = ("max_epochs", "max_steps", "max_time")

# The end of a message, which says what a person may do.
WAYS_ON = "choose another --name, or --retrain to train all again"


def refuse_conflicts(trials: Sequence[Trial], plans: Plans) -> None:
    """Raise a UserError if there is a run with other settings, data or code where one of these
    trials belongs.
    """
    for trial in trials:
        run, plan = trial.run, plans[trial.arm]
        if not run.config.is_file():
            continue
        if change := first_change(run.read_config(), plan.settings | {"seed": trial.seed}):
            raise UserError(
                f"{run.path} was begun with {change}: choose another --name, or move that run away"
            )
        refuse_other_origin(run, plan)


def refuse_other_origin(run: RunDirectory, plan: Plan) -> None:
    """Raise a UserError if a run has been trained with other data than the plan reads, or with
    another version of the user's code. What is not known does not count.
    """
    if not (run.summary.exists() or run.last_checkpoint.exists()):
        return  # it has not trained
    origin = read_origin(run.provenance)
    for module in changed(latest_code(origin), plan.code):
        raise UserError(f"{shown(module)} has changed since {run.path} was trained: {WAYS_ON}")
    data = origin.get("data")
    if data and plan.data and data != plan.data:
        raise UserError(
            f"{run.path} was trained on other data than there are now: restore them, {WAYS_ON}"
        )


def refuse_mixed(results: Mapping[Trial, RunResult]) -> None:
    """Raise a UserError if runs have used different data, or different versions of the user's
    code, as far as is known.
    """
    data = {
        as_json(result.provenance.data): trial.run
        for trial, result in results.items()
        if result.provenance.data
    }
    if len(data) > 1:
        raise UserError(
            f"{_two(data.values())} were trained on different data: move one away, or {WAYS_ON}"
        )
    versions: dict[str, dict[str, RunDirectory]] = {}
    for trial in results:
        for module, digest in (latest_code(read_origin(trial.run.provenance)) or {}).items():
            versions.setdefault(module, {})[digest] = trial.run
    for module, runs in versions.items():
        if len(runs) > 1:
            raise UserError(
                f"{_two(runs.values())} were trained with different versions of {shown(module)}: "
                f"move one away, or {WAYS_ON}"
            )


def refuse_other_settings(trials: Iterable[Trial]) -> None:
    """Raise a UserError if finished runs of one arm differ in their settings, or have not all
    trained equally long, unless that is what they compare: one may have been trained further
    since. Before a training the plans say it.
    """
    arms: dict[Arm, tuple[RunDirectory, Settings]] = {}
    length: tuple[RunDirectory, Settings] | None = None
    for trial in trials:
        run, settings = trial.run, trial.run.read_config()
        first, expected = arms.setdefault(trial.arm, (run, settings))
        if change := first_change(expected, settings, {"seed"}):
            raise UserError(f"{_two([first, run])} differ in {change}: {WAYS_ON}")
        chosen = {full_name(option) for option, _ in trial.chosen}
        if "config" in chosen or chosen.intersection(f"trainer.{name}" for name in LENGTH):
            continue
        trainer = {name: settings["trainer"].get(name) for name in LENGTH}
        first, expected = length = length or (run, trainer)
        if change := first_change({"trainer": expected}, {"trainer": trainer}):
            raise UserError(f"{_two([first, run])} differ in {change}: {WAYS_ON}")


def set_aside(directory: RunDirectory) -> None:
    """Give all files of a comparison or search another name, and say which.

    Raises:
        BusyError: another process is working there.
    """
    if not directory.exists():
        return
    taken = (directory.path.with_name(f"{directory.path.name}.{number}") for number in count(1))
    free = next(path for path in taken if not path.exists())
    with directory.lock():
        directory.path.rename(free)
    echo(f"{as_shown(directory.path)} is now {as_shown(free)}: everything is trained again")


def _two(runs: Iterable[RunDirectory]) -> str:
    first, second, *_ = (as_shown(run.path) for run in runs)
    return f"{first} and {second}"

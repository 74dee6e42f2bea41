"""What a trial will do, known before anything is written: its command line is parsed,
and all parts are built.
"""

import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from convblocks.compare import forked
from convblocks.compare.trials import Trial
from convblocks.errors import UsageError, UserError
from convblocks.run.config import Config
from convblocks.run.directory import first_change
from convblocks.run.judge import Judge
from convblocks.run.make import make_run
from convblocks.run.quiet import quiet_lightning
from convblocks.run.result import Overrides


class Plan(NamedTuple):
    """What an arm's trials will do.

    Args:
        settings: Those of one of them; the others differ in the seed.
        judge: The metric that they are judged by.
        epochs: The most that they train for, -1 without a limit.
        is_validated: Whether they are evaluated on validation data.
    """

    settings: dict[str, Any]
    judge: Judge
    epochs: int
    is_validated: bool


# The plan of each arm, by ``Trial.arm``.
Plans = Mapping[tuple[str, Overrides], Plan]


def plans_of(trials: Sequence[Trial], jobs: int = 1) -> Plans:
    """The plan of each arm among these trials; ``jobs`` other processes make them.

    Raises:
        UserError: options that ``fit`` refuses, or data that it cannot read.
    """
    arms = {trial.arm: trial.arguments() for trial in trials}
    with ProcessPoolExecutor(min(jobs, len(arms)), forked.context(__name__), _begin) as pool:
        return dict(zip(arms, pool.map(_plan, arms.values()), strict=True))


def refuse_conflicts(trials: Sequence[Trial], plans: Plans) -> None:
    """Raise a UserError if there is a run with other settings where one of these trials belongs."""
    for trial in trials:
        if not trial.run.config.is_file():
            continue
        expected = plans[trial.arm].settings | {"seed": trial.seed}
        if changed := first_change(trial.run.read_config(), expected):
            raise UserError(
                f"{trial.run.path} was begun with {changed}: "
                "choose another --name, or move that run away"
            )


def _plan(arguments: list[str]) -> Plan:
    quiet_lightning()
    run = make_run(Config.parse([word for word in arguments if word != "--resume"]))
    if run.tries_out:
        raise UsageError("--trainer.fast_dev_run is for fit: there is nothing to compare")
    judge = run.judges.judge
    if judge is None:
        raise UsageError(
            f"{run.arch} names no metric to judge it by: give, for example, --judge val/loss:min"
        )
    by_test = judge.is_of_test or (run.evaluation_split == "test" and not judge.is_of_training)
    is_validated = run.has("validation") or judge.split is None
    return Plan(
        settings=run.settings,
        judge=judge,
        epochs=run.settings["trainer"]["max_epochs"],
        is_validated=is_validated and not by_test,
    )


def _begin() -> None:
    """End with the process that waits for the plan, and at Ctrl-C without a traceback."""
    forked.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)

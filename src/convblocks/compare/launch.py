"""Trials side by side, each in a process of its own, until all that are wanted are done."""

import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Protocol

from convblocks.compare import forked
from convblocks.compare.dry_run import Plans, plans_of, refuse_conflicts
from convblocks.compare.trials import NO_SETTINGS, Trial, settings_text
from convblocks.console import echo
from convblocks.errors import UserError, printable
from convblocks.run.directory import RunDirectory
from convblocks.run.result import RunResult
from convblocks.text import as_json, as_shown, counted
from exact_resume import signals
from exact_resume.errors import Stopped
from exact_resume.slurm import SLURM, TORCHRUN

POLL_SECONDS = 0.5

STOPPED = "stopped: the same command carries on"


class Process(Protocol):
    """What ``fit_all`` needs of a process of multiprocessing, or of something that
    stands for one elsewhere.
    """

    @property
    def sentinel(self) -> int | Connection:
        """What is ready to be read once the process has ended."""

    @property
    def exitcode(self) -> int | None: ...

    def terminate(self) -> None: ...

    def join(self) -> None: ...


# Starts a trial.
Start = Callable[[Trial], Process]


def start_here(trial: Trial) -> Process:
    """Start a trial on this machine: it is forked from a server that has done the imports."""
    return forked.start(["fit", *trial.arguments()], trial.log)


def train(
    directory: RunDirectory,
    trials: Sequence[Trial],
    jobs: int,
    start: Start = start_here,
    plans: Plans | None = None,
) -> dict[Trial, RunResult]:
    """Train or resume the trials that are not done; returns the results of those that are.

    Args:
        directory: Of all trials.
        trials: Those wanted.
        jobs: How many run at a time.
        start: Of ``fit_all``.
        plans: Of their arms, where they are known.

    Raises:
        BusyError: another process is working on them.
        Stopped: by a signal or Ctrl-C; the same command carries on.
        UserError: a run with other settings is in the way, or trials used different data.
    """
    refuse_conflicts(trials, plans or plans_of(trials, jobs))
    done = finished(trials)
    missing = [trial for trial in trials if trial not in done]
    if not missing:
        return done
    directory.create()
    common = missing[0].common
    names = [option for option, _ in common if option not in NO_SETTINGS]
    echo(f"{counted(len(missing), 'trial')} with {settings_text(common, names)}")
    queue = iter(missing)
    at_first_setting = {(trial.arch, trial.seed) for trial in missing}
    ended = 0

    def next_trial() -> Trial | None:
        # If all networks have failed with all seeds at one setting, so will the others.
        return next(queue, None) if done or ended < len(at_first_setting) else None

    with directory.lock(), friendly_stops():
        for ended, (trial, status) in enumerate(fit_all(next_trial, jobs, start=start), start=1):
            how = f"FAILED: {trial.cause(status)}"
            result = None if status else trial.result()
            if result:
                done[trial] = result
                score = f"{result.score_name} {result.judged_by.text(result.score)}"
                how = f"{score}, {result.seconds:.1f} s"
            echo(end_text(trial, how, ended, len(missing)))
    return finished(trials)


def fit_all(
    next_trial: Callable[[], Trial | None],
    jobs: int,
    should_stop: Callable[[Trial], bool] = lambda _: False,
    start: Start = start_here,
) -> Generator[tuple[Trial, int]]:
    """Run trials side by side, and yield each when it ends, with its exit status: below
    0 the signal that killed it.

    When the generator is closed, for example by Ctrl-C, the running trials are
    terminated.

    Args:
        next_trial: Asked for a trial whenever one can start; it returns None if there
            is none for now.
        jobs: How many run at a time.
        should_stop: Asked twice a second about each running trial.
        start: Starts a process for a trial.

    Raises:
        Stopped: this process received one of the signals of ``signals``.
    """
    running: dict[Trial, Process] = {}
    try:
        while True:
            while len(running) < jobs and (trial := next_trial()):
                trial.log.parent.mkdir(parents=True, exist_ok=True)
                running[trial] = start(trial)
            if not running:
                return
            wait([process.sentinel for process in running.values()], timeout=POLL_SECONDS)
            if number := signals.received():
                raise Stopped(number, STOPPED)
            for trial, process in list(running.items()):
                if should_stop(trial):
                    process.terminate()
                if (status := process.exitcode) is not None:
                    del running[trial]
                    yield trial, status
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.join()


@contextmanager
def friendly_stops() -> Iterator[None]:
    """Ends ``fit_all`` at a signal; that and Ctrl-C print how to carry on.

    Raises:
        Stopped: Ctrl-C.
    """
    before = {number: signal.getsignal(number) for number in signals.HANDLED}
    signals.install()
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(signal.SIGINT, STOPPED) from error
    finally:
        signals.handle(before)


def finished(trials: Sequence[Trial]) -> dict[Trial, RunResult]:
    """The results of the trials that are done.

    Raises:
        UserError: they used different data, as far as is known.
    """
    results = {trial: result for trial in trials if (result := trial.result())}
    paths = {
        as_json(result.provenance.data): trial.run.path
        for trial, result in results.items()
        if result.provenance.data
    }
    if len(paths) > 1:
        first, second, *_ = map(as_shown, paths.values())
        raise UserError(
            f"{first} and {second} were trained on different data: "
            "move one away, or choose another --name"
        )
    return results


def refuse_missing(trials: Sequence[Trial], results: Mapping[Trial, RunResult]) -> None:
    """Raise a UserError that names the trials without a result, and a log of each setting."""
    missing = [trial for trial in trials if trial not in results]
    if missing:
        names = ", ".join(trial.label for trial in missing)
        logs = {trial.arm: f"; see {trial.log}" for trial in missing if trial.log.is_file()}
        raise UserError(
            f"{len(missing)} of {len(trials)} trials are not done: {names}{''.join(logs.values())}"
        )


def end_text(trial: Trial, how: str, ended: int, total: int) -> str:
    """How a trial ended, and how many have: `` 7/40  maxpool seed 3: test accuracy
    97.01 %, 12.3 s``.
    """
    return printable(f"{ended:>{len(str(total))}}/{total}  {trial.label}: {how}")


def hide_launcher() -> None:
    """Hide torchrun and srun from the runs started here, so that Lightning starts their
    further processes.
    """
    for name in (SLURM, TORCHRUN):
        os.environ.pop(name, None)

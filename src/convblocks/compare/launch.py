"""Trials side by side, each in a process of its own, until all that are wanted are done."""

import os
import signal
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Protocol

from convblocks.compare import forked
from convblocks.compare.dry_run import Plans, plans_of
from convblocks.compare.mixing import refuse_conflicts, refuse_mixed
from convblocks.compare.places import places_for
from convblocks.compare.trials import NO_SETTINGS, Arm, Trial, settings_text
from convblocks.compare.watch import Watch
from convblocks.console import echo
from convblocks.errors import UserError, printable
from convblocks.figures.grouping import grouped
from convblocks.record.directory import RunDirectory
from convblocks.record.judge import NOT_LOGGED
from convblocks.record.result import RunResult
from convblocks.text import counted
from exact_resume import signals
from exact_resume.errors import Stopped
from exact_resume.slurm import SLURM, TORCHRUN

POLL_SECONDS = 0.5

# So many seeds that fail with the same words are not chance: others would, too. Of a judge
# that is not logged one is enough.
ALIKE = 2

STOPPED = "stopped: the same command carries on"


class Process(Protocol):
    """A process as ``fit_all`` needs it: one of multiprocessing, or what stands for a process on
    another machine.
    """

    @property
    def sentinel(self) -> int | Connection:
        """An object that is ready to be read once the process has ended."""

    @property
    def exitcode(self) -> int | None: ...

    @property
    def pid(self) -> int | None:
        """The id of the process, if it is one of this machine."""

    def terminate(self) -> None: ...

    def join(self) -> None: ...


# Starts a trial.
Start = Callable[[Trial], Process]


def train(
    directory: RunDirectory,
    trials: Sequence[Trial],
    jobs: int | None,
    start: Start | None = None,
    plans: Plans | None = None,
) -> dict[Trial, RunResult]:
    """Train or resume the trials that are not done; returns the results of those that are.

    Args:
        directory: The directory of the comparison.
        trials: The trials that are wanted.
        jobs: How many trials run at a time; by default as many as fit on this machine.
        start: A function that starts a trial, as for ``fit_all``; by default on this machine.
        plans: The plans of their arms, where they are known.

    Raises:
        BusyError: another process is working on them.
        Stopped: by a signal or Ctrl-C; the same command carries on.
        UserError: a run with other settings is in the way, or trials used different data.
    """
    plans = plans or plans_of(trials, jobs)
    refuse_conflicts(trials, plans)
    done = finished(trials)
    missing = [trial for trial in trials if trial not in done]
    if not missing:
        return done
    directory.create()
    echo(_heading(trials, len(done)))
    if start is None:
        threads = int(dict(trials[0].common).get("threads", 1))
        start, jobs = places_for(plans.values(), threads, jobs, len(missing))
    failures = Failures(trials)
    for trial in done:
        failures.note(trial, "")
    queue = (trial for trial in missing if not failures.awaits(trial))
    ended = len(done)
    watch = Watch(len(trials), lambda: ended, lambda trial: plans[trial.arm])
    with directory.lock(), friendly_stops(), watch.live():
        for trial, status in fit_all(partial(next, queue, None), jobs or 1, start, watch=watch):
            ended += 1
            result = None if status else trial.result()
            failure = "" if result else f"FAILED: {trial.cause(status)}"
            failures.note(trial, failure)
            how = _score_and_time(trial, result) if result else failure
            echo(end_text(trial, how, ended, len(trials)))
    return finished(trials)


def _score_and_time(trial: Trial, result: RunResult) -> str:
    """``validation accuracy 97.42 %, 3.1 s``: by what the setting of a grid is chosen."""
    shown = result.as_tuned() if trial.chosen and not trial.is_confirming else result
    return f"{shown.score_name} {shown.judged_by.text(shown.score)}, {result.seconds:.1f} s"


class Failures:
    """Remembers failures, to tell which trials would fail too: those of an arm whose first
    seeds have all failed with the same words; and all trials, where every network has such an
    arm and no trial is done.

    Args:
        trials: The trials to be trained.
    """

    def __init__(self, trials: Collection[Trial]) -> None:
        self._seeds = grouped(trials, lambda trial: trial.arm)
        self._archs = {trial.arch for trial in trials}
        # The words with which the trials of each arm failed; "" for a trial that did not.
        self._said: dict[Arm, list[str]] = {}

    def note(self, trial: Trial, failure: str) -> None:
        """Note the words with which a trial has failed; empty if it is done."""
        self._said.setdefault(trial.arm, []).append(failure)

    def awaits(self, trial: Trial) -> bool:
        """True for a trial that would fail as others did."""
        hopeless = {arm for arm, said in self._said.items() if self._is_hopeless(arm, said)}
        is_any_done = any("" in said for said in self._said.values())
        return trial.arm in hopeless or (
            not is_any_done and {arch for arch, _ in hopeless} == self._archs
        )

    def _is_hopeless(self, arm: Arm, said: list[str]) -> bool:
        enough = 1 if NOT_LOGGED in said[0] else min(ALIKE, len(self._seeds[arm]))
        return len(said) >= enough and len({*said}) == 1 and "" not in said


def _heading(trials: Sequence[Trial], reused: int) -> str:
    """``6 trials, 2 reused, with epochs 5``."""
    common = trials[0].common
    shared = settings_text(common, [option for option, _ in common if option not in NO_SETTINGS])
    known = f", {reused} reused" if reused else ""
    return f"{counted(len(trials), 'trial')}{known}, with {shared}"


def fit_all(
    next_trial: Callable[[], Trial | None],
    jobs: int,
    start: Start,
    should_stop: Callable[[Trial], bool] = lambda _: False,
    watch: Callable[[Collection[Trial]], None] = lambda _: None,
) -> Generator[tuple[Trial, int]]:
    """Run trials side by side, and yield each when it ends, with its exit status: below
    0 the signal that killed it.

    After a signal or Ctrl-C, and when the generator is closed, the running trials save
    their state and end. A second Ctrl-C kills them.

    Args:
        next_trial: Asked for a trial whenever one can start; it returns None if there
            is none for now.
        jobs: How many run at a time.
        start: Starts a process for a trial.
        should_stop: Asked twice a second about each running trial.
        watch: Called twice a second with the running trials.

    Raises:
        Stopped: this process received one of the signals of ``signals``, or Ctrl-C.
        KeyboardInterrupt: at a second Ctrl-C.
    """
    running: dict[Trial, Process] = {}
    with noted_interrupts() as interrupts:
        try:
            while True:
                while len(running) < jobs and (trial := next_trial()):
                    trial.log.parent.mkdir(parents=True, exist_ok=True)
                    running[trial] = start(trial)
                if not running:
                    return
                watch(running)
                wait([process.sentinel for process in running.values()], timeout=POLL_SECONDS)
                for number in (signals.received(), *interrupts):
                    if number:
                        raise Stopped(number, STOPPED)
                for trial, process in list(running.items()):
                    if should_stop(trial):
                        process.terminate()
                    if (status := process.exitcode) is not None:
                        del running[trial]
                        yield trial, status
        finally:
            is_hasty = len(interrupts) > 1
            interrupts.append(0)  # the next one raises
            _end(running.values(), is_hasty)


def _end(processes: Collection[Process], is_hasty: bool) -> None:
    """Let trials save their state; Ctrl-C, or being hasty, kills them instead."""
    if not processes:
        return
    try:
        if not is_hasty:
            echo(f"saving {counted(len(processes), 'trial')}; Ctrl-C again ends at once")
            for process in processes:
                process.terminate()
            for process in processes:
                process.join()
    finally:
        for process in processes:
            if process.pid and process.exitcode is None:
                forked.kill(process.pid)


@contextmanager
def noted_interrupts() -> Iterator[list[int]]:
    """Meanwhile the first Ctrl-C is only noted here, and the next ones raise a
    KeyboardInterrupt too, unless the program around us has its own handler.
    """
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        if len(noted) > 1:
            raise KeyboardInterrupt

    ours = signal.getsignal(signal.SIGINT)
    if ours is signal.default_int_handler:
        signals.handle({signal.SIGINT: note})
    try:
        yield noted
    finally:
        signals.handle({signal.SIGINT: ours})


@contextmanager
def friendly_stops(command: str = "") -> Iterator[None]:
    """Ends ``fit_all`` at a signal; that and Ctrl-C print how to carry on.

    Args:
        command: The command that carries on, where the text is to end with it.

    Raises:
        Stopped: by a signal or Ctrl-C.
    """
    before = {number: signal.getsignal(number) for number in signals.HANDLED}
    signals.install()
    message = f"{STOPPED}: {command}" if command else STOPPED
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(signal.SIGINT, message) from error
    except Stopped as error:
        raise Stopped(error.exit_status - 128, message) from error
    finally:
        signals.handle(before)


def finished(trials: Sequence[Trial]) -> dict[Trial, RunResult]:
    """The results of the trials that are done.

    Raises:
        UserError: they used different data or code, as far as is known.
    """
    results = {trial: result for trial in trials if (result := trial.result())}
    refuse_mixed(results)
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
    """The line for a trial that has ended: `` 7/40  maxpool seed 3: test accuracy 97.01 %,
    12.3 s``.
    """
    return printable(f"{ended:>{len(str(total))}}/{total}  {trial.label}: {how}")


def hide_launcher() -> None:
    """Hide torchrun and srun from the runs started here, so that Lightning starts their
    further processes.
    """
    for name in (SLURM, TORCHRUN):
        os.environ.pop(name, None)

"""Trials side by side, each in a process of its own."""

import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Generic, Protocol, TypeVar

from convblocks.compare import forked
from convblocks.compare.trials import Trial
from convblocks.errors import Stopped
from convblocks.run import signals
from convblocks.run.slurm import SLURM, TORCHRUN, visible

POLL_SECONDS = 0.5

STOPPED = "stopped: the same command carries on"

AnyTrial = TypeVar("AnyTrial", bound=Trial)


class Process(Protocol):
    """What ``fit_all`` needs of a process of multiprocessing, or of something that stands for one elsewhere."""

    @property
    def sentinel(self) -> int | Connection:
        """What is ready to be read once the process has ended."""

    @property
    def exitcode(self) -> int | None: ...

    def terminate(self) -> None: ...

    def join(self) -> None: ...


# Starts a trial.
Start = Callable[[Trial], Process]


@dataclass
class Running(Generic[AnyTrial]):
    """A trial and the process that runs it."""

    trial: AnyTrial
    process: Process


def fit_all(
    next_trial: Callable[[], AnyTrial | None],
    jobs: int,
    watch: Callable[[list[Running[AnyTrial]]], None],
    start: Start | None = None,
) -> Generator[tuple[AnyTrial, int], None, None]:
    """Run trials side by side, and yield each when it ends, with its exit status: below 0 the signal that killed it.

    When the generator is closed, for example by Ctrl-C, the running trials are terminated.

    Args:
        next_trial: Asked for a trial whenever one can start; it returns None if there is none for now.
        jobs: How many run at a time.
        watch: Called twice a second with the running trials.
        start: Starts a process for a trial; by default it is forked from a server that has done the imports.

    Raises:
        Stopped: this process received one of the signals of ``signals``.
    """
    start = start or _start
    running: list[Running[AnyTrial]] = []
    try:
        while True:
            while len(running) < jobs and (trial := next_trial()):
                trial.log.parent.mkdir(parents=True, exist_ok=True)
                running.append(Running(trial, start(trial)))
            if not running:
                return
            wait([one.process.sentinel for one in running], timeout=POLL_SECONDS)
            if number := signals.received():
                raise Stopped(number, STOPPED)
            watch(running)
            for ended in [one for one in running if one.process.exitcode is not None]:
                running.remove(ended)
                yield ended.trial, ended.process.exitcode or 0
    finally:
        for left in running:
            left.process.terminate()
        for left in running:
            left.process.join()


@contextmanager
def friendly_stops() -> Iterator[None]:
    """Ends ``fit_all`` at a signal; that and Ctrl-C print how to carry on.

    Raises:
        Stopped: Ctrl-C.
    """
    with signals.recorded():
        try:
            yield
        except KeyboardInterrupt as error:
            raise Stopped(signal.SIGINT, STOPPED) from error


def _start(trial: Trial) -> Process:
    """Start a trial on this machine."""
    return forked.start(["fit", *trial.arguments()], trial.log)


def launcher_of_several(environment: Mapping[str, str] = os.environ) -> str | None:
    """The launcher that has started several processes to train together; None for a single process."""
    environment = visible(environment)
    if TORCHRUN in environment:
        return "torchrun"
    return "srun" if environment.get("SLURM_STEP_NUM_TASKS", "1") != "1" else None


def hide_launcher() -> None:
    """Hide the launcher from the runs started by this process, so that Lightning starts their further processes."""
    for name in (SLURM, TORCHRUN):
        os.environ.pop(name, None)

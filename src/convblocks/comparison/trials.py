"""Which runs a comparison needs, which of them are there, and starting those that are not."""

import hashlib
import itertools
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Generic, TypeVar

from convblocks import training
from convblocks.console import status_of
from convblocks.errors import Stopped, UserError
from convblocks.model.networks import ARCHITECTURES
from convblocks.runs.directory import RunDirectory, State
from convblocks.training import fit, signals
from convblocks.training.fork import fork_server

POLL_SECONDS = 0.5

# The one option that says where a trial is, and not what it computes.
ROOT = "trainer.default_root_dir"

# Those whose values are paths.
PATHS = ("config", "data.root")

# Well below what a RunDirectory takes.
LONGEST_NAME = 150

STOPPED = "stopped: the same command carries on"

Settings = tuple[tuple[str, str], ...]  # option of fit.py without its dashes, and its value


@dataclass(frozen=True)
class Trial:
    """One ordinary fit run, in a directory that its settings determine."""

    comparison: str
    arch: str
    settings: Settings
    seed: int

    @property
    def name(self) -> str:
        return f"{self.comparison}/{self.arch}/{settings_name(self.settings)}/seed_{self.seed}"

    @property
    def run(self) -> RunDirectory:
        return RunDirectory(self.name, root_of(self.settings))

    @property
    def epochs(self) -> int:
        return int(dict(self.settings)["epochs"])

    @property
    def log(self) -> Path:
        """What the run prints, kept for when it fails."""
        folder = RunDirectory(self.comparison, root_of(self.settings)).path
        return folder / "logs" / f"{self.run.name.replace('/', '_')}.log"

    def arguments(self) -> list[str]:
        """The command line of fit.py that starts or resumes it."""
        own = ["--arch", self.arch, "--seed", str(self.seed), "--name", self.run.name, "--resume"]
        return [*command_line(settings_for(self.arch, self.settings)), *own]

    def state(self) -> State:
        return self.run.state(self.epochs)

    def metrics(self) -> list[dict[str, float]]:
        """The rows of its metrics so far; none where another file is in their way, which it writes anew itself."""
        try:
            return self.run.read_metrics()
        except UserError:
            return []


def settings_for(arch: str, settings: Settings) -> Settings:
    """Those that a network can have: a registered one takes no arguments, which are given for the others."""
    registered = arch in ARCHITECTURES
    return tuple(pair for pair in settings if not (registered and pair[0].startswith("network.")))


def command_line(settings: Sequence[tuple[str, str]]) -> list[str]:
    """Settings as options of fit.py; a config comes first, since what is later wins."""
    ordered = sorted(settings, key=lambda setting: setting[0] != "config")
    return [f"--{option}={value}" for option, value in ordered]


def settings_name(settings: Settings) -> str:
    """Settings as the name of a directory: ``epochs=5,lr=0.01``; of a path only the last part is taken."""
    short = {option: Path(value).name if option in PATHS else value.replace("/", "_") for option, value in settings}
    name = ",".join(f"{option}={value}" for option, value in short.items() if option != ROOT)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 11]},{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def is_number(text: str) -> bool:
    """Whether an option's value is a number, which has a place among others."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def root_of(settings: Settings) -> Path:
    """The folder in which ``lightning_logs`` lies."""
    return Path(dict(settings).get(ROOT, ""))


def all_trials(
    comparison: str, archs: Sequence[str], seeds: Sequence[int], settings: Settings, grid: dict[str, list[str]]
) -> list[Trial]:
    """Every architecture with every seed at every point of the grid."""
    points = [tuple(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    return [
        Trial(comparison, arch, settings + point, seed) for point, arch, seed in itertools.product(points, archs, seeds)
    ]


AnyTrial = TypeVar("AnyTrial", bound=Trial)


@dataclass
class Running(Generic[AnyTrial]):
    """A trial and the process that runs it."""

    trial: AnyTrial
    process: BaseProcess
    start: float


def fit_all(
    take: Callable[[], AnyTrial | None], jobs: int, watch: Callable[[list[Running[AnyTrial]]], None]
) -> Iterator[tuple[AnyTrial, int]]:
    """Run trials side by side, and yield each when it ends, with its exit status: below 0 the signal that killed it.

    Whenever there is room ``take`` is asked for the next one; it ends when none runs and there is no next one. Every
    trial has a process of its own, forked from a server that has done the imports. ``watch`` is called a few times a
    second with those that run. When the generator is closed, by Ctrl-C say, they are told to stop.

    Raises:
        Stopped: a signal came that this process notes, of those in ``signals``.
    """
    context = fork_server(fit)
    running: list[Running[AnyTrial]] = []
    try:
        while True:
            while len(running) < jobs and (trial := take()):
                trial.log.parent.mkdir(parents=True, exist_ok=True)
                process = context.Process(target=_fit, args=(trial,))
                process.start()
                running.append(Running(trial, process, time.monotonic()))
            if not running:
                return
            wait([one.process.sentinel for one in running], timeout=POLL_SECONDS)
            if number := signals.received():
                raise Stopped(number, STOPPED)
            watch(running)
            for one in [one for one in running if not one.process.is_alive()]:
                running.remove(one)
                yield one.trial, one.process.exitcode or 0
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.join()


@contextmanager
def stops_are_told() -> Iterator[None]:
    """Within this, ``fit_all`` ends at a signal, and that or Ctrl-C is answered with how to go on.

    Raises:
        Stopped: Ctrl-C.
    """
    handlers = {number: signal.getsignal(number) for number in signals.HANDLED}
    signals.install()
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(signal.SIGINT, STOPPED) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _fit(trial: Trial) -> None:
    """Run one trial in this process, its output in its log; ends with the status that fit.py would have."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with trial.log.open("a") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    sys.argv = ["fit.py", *trial.arguments()]
    # What Lightning starts anew for each further process that takes part in the trial.
    sys.modules["__main__"].__spec__ = find_spec(f"{training.__name__}.__main__")
    sys.exit(status_of(fit.main, trial.arguments()))


def _die_with_parent() -> None:
    """Without this a trial whose comparison was killed would go on, beside the one that the next call starts."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)

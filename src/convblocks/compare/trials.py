"""The trials of a comparison: their run directories, and running them side by side."""

import hashlib
import itertools
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from ctypes import c_double
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from convblocks import wings
from convblocks.compare import forked
from convblocks.compare.results import after
from convblocks.compare.shared_progress import SharedProgress
from convblocks.errors import Stopped, UserError
from convblocks.model.networks import ARCHITECTURES
from convblocks.run import fit, signals
from convblocks.run.directory import RunDirectory
from convblocks.run.judge import ACCURACY, Judge
from convblocks.run.result import Overrides, RunResult

POLL_SECONDS = 0.5

# The option that sets where a trial is kept, not what it computes.
ROOT = "trainer.default_root_dir"

# Options of where and how a trial runs, not of what it computes.
NO_SETTINGS = (ROOT, *wings.options())

# The option that only a user's own module has; it decides which checkpoint is the best, not how it is trained.
JUDGE = "judge"

# Options whose values are paths.
PATHS = ("config", "data.root")

# Well below the limit of a RunDirectory.
LONGEST_NAME = 150

STOPPED = "stopped: the same command carries on"


@dataclass(frozen=True)
class Trial:
    """An ordinary run of fit, in a directory that its settings determine."""

    comparison: str
    arch: str
    overrides: Overrides
    seed: int

    @property
    def name(self) -> str:
        return f"{self.comparison}/{self.arch}/{settings_name(self.overrides)}/seed_{self.seed}"

    @property
    def run(self) -> RunDirectory:
        return RunDirectory(self.name, root_of(self.overrides))

    @property
    def epochs(self) -> int:
        return int(dict(self.overrides)["epochs"])

    @property
    def judge(self) -> Judge:
        return judge_of(self.overrides)

    @property
    def log(self) -> Path:
        """The output of the run."""
        folder = RunDirectory(self.comparison, root_of(self.overrides)).path
        return folder / "logs" / f"{self.run.name.replace('/', '_')}.log"

    def arguments(self) -> list[str]:
        """The command line of fit that starts or resumes the run."""
        own = [*choice_of(self.arch, self.overrides), "--seed", str(self.seed), "--name", self.run.name, "--resume"]
        return [*command_line(overrides_for(self.arch, self.overrides)), *own]

    def result(self) -> RunResult | None:
        """The result after this trial's epochs; None if the run is not done.

        Raises:
            UserError: it is of another network or seed.
        """
        result = self.run.result_after(self.epochs)
        if result is None:
            return None
        if (result.arch, result.seed) != (self.arch, self.seed):
            raise UserError(f"{self.run.summary} is of {result.arch}, seed {result.seed}: move that run away")
        return replace(after(result, self.epochs), overrides=self.overrides)

    def metrics(self) -> list[dict[str, float]]:
        """The rows of its metrics so far; none if they are not readable, since the run rewrites them."""
        try:
            return self.run.read_metrics()
        except (OSError, ValueError):
            return []


def judge_of(overrides: Overrides) -> Judge:
    """The judge that these name, or that of networks."""
    return Judge.parse(dict(overrides)[JUDGE]) if JUDGE in dict(overrides) else ACCURACY


def choice_of(arch: str, overrides: Overrides) -> list[str]:
    """The option of fit for a network or, where these name a judge, for a user's own module."""
    return ["--model" if JUDGE in dict(overrides) else "--arch", arch]


def overrides_for(arch: str, overrides: Overrides) -> Overrides:
    """Those that apply to a network: a registered one takes no arguments."""
    registered = arch in ARCHITECTURES
    return tuple(pair for pair in overrides if not (registered and pair[0].startswith("network.")))


def command_line(overrides: Overrides) -> list[str]:
    """Overrides as options of fit; a config comes first, since later options win."""
    ordered = sorted(overrides, key=lambda setting: setting[0] != "config")
    return [f"--{option}={value}" for option, value in ordered]


def settings_name(overrides: Overrides) -> str:
    """Overrides as the name of a directory: ``epochs=5,lr=0.01``, with the last part of paths only."""
    short = {option: Path(value).name if option in PATHS else value.replace("/", "_") for option, value in overrides}
    name = ",".join(f"{option}={value}" for option, value in short.items() if option not in (*NO_SETTINGS, JUDGE))
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 11]},{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def root_of(overrides: Overrides) -> Path:
    """The folder in which ``lightning_logs`` lies."""
    return Path(dict(overrides).get(ROOT, ""))


def all_trials(
    comparison: str, archs: Sequence[str], seeds: Sequence[int], overrides: Overrides, grid: dict[str, list[str]]
) -> list[Trial]:
    """Every architecture with every seed at every point of the grid."""
    points = [tuple(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    product = itertools.product(points, archs, seeds)
    return [Trial(comparison, arch, overrides + point, seed) for point, arch, seed in product]


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


# Starts a trial; the second value is the share of its steps that are done, None if it cannot be known.
Start = Callable[[Trial], tuple[Process, c_double | None]]


@dataclass
class Running(Generic[AnyTrial]):
    """A trial, the process that runs it, and the share of its steps that are done, if known."""

    trial: AnyTrial
    process: Process
    done: c_double | None


def fit_all(
    next_trial: Callable[[], AnyTrial | None],
    jobs: int,
    watch: Callable[[list[Running[AnyTrial]]], None],
    start: Start | None = None,
) -> Generator[tuple[AnyTrial, int], None, None]:
    """Run trials side by side, and yield each when it ends, with its exit status: below 0 the signal that killed it.

    ``next_trial`` is asked for a trial whenever one can start; it returns None if there is none for now. Every trial
    has its own process, which ``start`` starts; by default it is forked from a server that has done the imports.
    ``watch`` is called twice a second with the running trials. When the generator is closed, for example by Ctrl-C,
    they are terminated.

    Raises:
        Stopped: this process received one of the signals of ``signals``.
    """
    start = start or _forks()
    running: list[Running[AnyTrial]] = []
    try:
        while True:
            while len(running) < jobs and (trial := next_trial()):
                trial.log.parent.mkdir(parents=True, exist_ok=True)
                running.append(Running(trial, *start(trial)))
            if not running:
                return
            wait([one.process.sentinel for one in running], timeout=POLL_SECONDS)
            if number := signals.received():
                raise Stopped(number, STOPPED)
            watch(running)
            for one in [one for one in running if one.process.exitcode is not None]:
                running.remove(one)
                yield one.trial, one.process.exitcode or 0
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.join()


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


def _forks() -> Start:
    """Starts trials on this machine."""
    context = forked.context()

    def start(trial: Trial) -> tuple[Process, c_double]:
        done = context.RawValue(c_double, 0.0)
        command = partial(fit.main, callbacks=[SharedProgress(done)])
        return forked.start(["fit", *trial.arguments()], trial.log, command), done

    return start

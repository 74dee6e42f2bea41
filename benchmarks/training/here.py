"""What is fastest on this machine: tried within two minutes, and told as flags."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from threading import Barrier, BrokenBarrierError
from typing import Any

import torch

from benchmarks.training import projects
from benchmarks.training.advice import COMMAND, Advice, Pace, Paces, Setting
from benchmarks.training.case import PRECISIONS, Case, Precision, Stopwatch
from benchmarks.training.measure import apart
from benchmarks.training.projects import fit_command, note_times
from convblocks.console import echo, echo_command
from convblocks.data import mnist
from convblocks.errors import UserError
from convblocks.model.classifier import DigitClassifier
from convblocks.tables import terminal, to_console
from convblocks.training import tensorboard
from convblocks.training.fork import fork_server

# Seconds of measurements, for all networks together, unless others are asked for. Imports and the measurement that runs
# at the end come on top.
BUDGET = 90

# Seconds of the timed steps, in the first measurement of each setting and in the later ones.
TRIAL_SECONDS = 0.3
ROUND_SECONDS = 0.6

# Timed steps of the first measurement of all, and the fewest and the most of any other.
FIRST_STEPS, FEWEST_STEPS, MOST_STEPS = 10, 5, 400

# Steps before the timed ones, of which a quarter as many come on top.
LEAST_WARM_UP_STEPS = 3

MOST_ROUNDS = 5

# A setting that is below this share of the fastest is not measured again, and one that is below the other share in one
# precision is not tried in another.
HOPELESS = 0.75
WITHOUT_A_TRIAL = 0.25

# Numbers of threads that are tried, and of jobs: powers of two, on a large machine not all of them.
MOST_COUNTS = 4

# Runs that share an accelerator; what more of them do depends on its memory.
SHARING = (2, 4)

# What an accelerator is tried with.
ACCELERATED: dict[str, tuple[Precision, ...]] = {"cuda": PRECISIONS, "mps": ("32-true",)}

# Not timed, and in this way short: one batch of evaluation, and no pictures for TensorBoard.
SHORT = ("--trainer.limit_val_batches", "1", "--trainer.logger", "false")

# Jobs side by side wait for each other so long at most.
PATIENCE_SECONDS = 120

ROUNDING = (
    "bf16-mixed multiplies with 8 significant bits instead of 24: its results are not those of 32-true. Another number "
    "of threads changes only how sums round. Compare runs that were trained alike."
)

# A machine is not quiet if more processes than this, for each of its CPUs, have wanted to compute in the last minute.
QUIET = 0.25

Measure = Callable[[str, Setting, int], float]  # of a network, a setting and steps: images a second


def tell_what_is_fastest(archs: Sequence[str], budget: int) -> None:
    """Measure for so many seconds, and print a table for each network with the flags to copy.

    Raises:
        UserError: a measurement failed.
    """
    mnist.prepare(mnist.DEFAULT_ROOT)
    echo(f"Measuring for up to {budget} seconds; nothing else should run on this machine.")
    cpus, threads = available_cpus(), torch.get_num_threads()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    is_quiet = load <= QUIET * cpus
    if not is_quiet:
        echo(f"It is not quiet: its load in the last minute is {load:.1f}. Wait until it is, or expect wrong answers.")
    accelerators = available_accelerators()
    device = accelerators[0] if accelerators else "cpu"
    defaults = Setting(device, "32-true", 1, threads), Setting(device, "32-true", os.cpu_count() or 1, 1)
    settings = list(dict.fromkeys([*candidates(cpus, threads, accelerators), *defaults]))
    end = time.perf_counter() + budget
    advice = []
    for number, arch in enumerate(archs):
        now = time.perf_counter()
        share = (end - now) / (len(archs) - number)
        advice.append(Advice(arch, survey(arch, settings, defaults, now + share, images_per_second), *defaults))
    echo()
    for one in advice:
        to_console([one.table()], terminal())
        for line in one.commands():
            if line.startswith(COMMAND):
                echo_command(line.split(), COMMAND)
            else:
                echo(line)
        echo()
    echo(ROUNDING)
    if not is_quiet:
        echo(f"The machine was not quiet when this began, with a load of {load:.1f}: do not rely on it.")


def available_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_accelerators() -> list[str]:
    """The names by which Lightning knows them."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name, is_there in found.items() if is_there]


def candidates(cpus: int, threads: int, accelerators: Sequence[str]) -> list[Setting]:
    """The settings to try.

    Args:
        cpus: How many there are, as the system counts.
        threads: How many torch takes by itself: the physical cores as a rule.
        accelerators: What else can compute.
    """
    layouts = [(1, number) for number in counts(threads)]
    layouts += [(jobs, max(1, threads // jobs)) for jobs in counts(cpus) if jobs > 1]
    on_cpu = [Setting("cpu", precision, *layout) for precision in PRECISIONS for layout in layouts]
    layouts = [(1, threads), *((jobs, 1) for jobs in SHARING if jobs <= cpus)]
    accelerated = [
        Setting(name, precision, *layout)
        for name in accelerators
        for precision in ACCELERATED[name]
        for layout in layouts
    ]
    return [*accelerated, *on_cpu]


def counts(most: int) -> list[int]:
    """Powers of two up to a number, and the number: all or, if there are too many, some from 1 to it."""
    powers = sorted({2**power for power in range(most.bit_length())} | {most})
    last = min(len(powers), MOST_COUNTS) - 1
    return [powers[round(index * (len(powers) - 1) / max(last, 1))] for index in range(last + 1)]


def survey(
    arch: str,
    settings: Sequence[Setting],
    defaults: Sequence[Setting],
    end: float,
    measure: Measure,
    clock: Callable[[], float] = time.perf_counter,
) -> Paces:
    """Try settings shortly, then measure those with a chance, in turn, until the time is up.

    In turn, so that a change of the machine's pace meets all of them; the defaults first, to be held against.
    """
    paces: Paces = {}
    in_order = sorted(settings, key=lambda setting: setting not in defaults)
    of_a_job = measure(arch, in_order[0], FIRST_STEPS)
    for setting in in_order:
        if setting not in defaults and (clock() >= end or is_hopeless(setting, paces, WITHOUT_A_TRIAL)):
            continue
        pace = measure(arch, setting, _steps(of_a_job, TRIAL_SECONDS))
        of_a_job = max(of_a_job, pace / setting.jobs)
        paces[setting] = Pace([pace])
        _tell(f"{arch}  trial", setting, pace)
    # Should the time not suffice, then what looks best has been measured.
    in_turn = sorted(paces, key=lambda setting: (setting not in defaults, -paces[setting].value))
    for number in range(MOST_ROUNDS):
        for setting in in_turn:
            known = paces[setting]
            if clock() >= end:
                break
            if is_hopeless(setting, paces, HOPELESS) and (known.is_known or setting not in defaults):
                continue
            pace = measure(arch, setting, _steps(known.value / setting.jobs, ROUND_SECONDS))
            known.measured.append(pace)
            _tell(f"{arch}  round {number + 1}", setting, pace)
    return {setting: paces[setting] for setting in settings if setting in paces}


def is_hopeless(setting: Setting, paces: Paces, share: float) -> bool:
    """Whether its pace, or where it has none that of another precision, is below a share of what it competes with."""
    rivals = [pace.value for other, pace in paces.items() if other.jobs == 1 or setting.jobs > 1]
    alike = [pace.value for other, pace in paces.items() if replace(other, precision=setting.precision) == setting]
    own = [paces[setting].value] if setting in paces else alike
    return bool(own) and max(own) < share * max(rivals)


def images_per_second(arch: str, setting: Setting, steps: int) -> float:
    """Train in fresh processes, as many as there are jobs, which begin together; the pace of the slowest of them."""
    context = fork_server(projects, tensorboard)
    case = Case("fit", arch, setting.precision)
    with context.Manager() as manager, ProcessPoolExecutor(setting.jobs, mp_context=context) as pool:
        start = manager.Barrier(setting.jobs)
        jobs = [pool.submit(_train, case, setting, steps, start) for _ in range(setting.jobs)]
        errors = [error for job in jobs if (error := job.exception()) and not isinstance(error, BrokenBarrierError)]
        if errors and isinstance(errors[0], BrokenProcessPool | torch.OutOfMemoryError):
            raise UserError(f"{arch}, {setting}: killed, perhaps for want of memory") from errors[0]
        if errors:
            raise errors[0]
        return setting.jobs * steps * case.batch_size / max(job.result() for job in jobs)


class SharedStart(Stopwatch):
    """A stopwatch that begins after some steps, in several processes together, on a device that may lag behind.

    It asks at each step, all settings alike.
    """

    def __init__(self, warm_up_steps: int, start: Barrier, accelerator: str) -> None:
        self.warm_up_steps, self.start = warm_up_steps, start
        self.synchronize: Callable[[], None] = getattr(torch, accelerator).synchronize

    def on_train_batch_start(self, batch_idx: int) -> None:
        if batch_idx == self.warm_up_steps:
            self.synchronize()
            self.start.wait(PATIENCE_SECONDS)
            self.began = time.perf_counter()

    def on_validation_start(self) -> None:
        self.synchronize()
        super().on_validation_start()


def _train(case: Case, setting: Setting, steps: int, start: Barrier) -> float:
    """Train an epoch of some steps that are not timed and some that are; the seconds of the latter."""
    warm_up_steps = LEAST_WARM_UP_STEPS + steps // 4
    stopwatch = SharedStart(warm_up_steps, start, setting.accelerator)
    note_times(DigitClassifier, stopwatch)

    def on_train_batch_start(self: DigitClassifier, batch: Any, batch_idx: int) -> None:
        stopwatch.on_train_batch_start(batch_idx)

    setattr(DigitClassifier, on_train_batch_start.__name__, on_train_batch_start)
    flags = ["--threads", str(setting.threads), *SHORT]
    flags += ["--trainer.accelerator", setting.accelerator, "--trainer.devices", "1"]
    try:
        with apart():
            fit_command(case, warm_up_steps + steps, "measured", *flags)
    except BaseException:
        start.abort()  # or the other jobs would wait for this one
        raise
    return stopwatch.timing().training


def _steps(images_per_second: float, seconds: float) -> int:
    """How many steps of one job take so long."""
    steps = round(seconds * images_per_second / Case.batch_size)
    return min(max(steps, FEWEST_STEPS), MOST_STEPS)


def _tell(stage: str, setting: Setting, pace: float) -> None:
    echo(f"{stage}  {setting}: {pace:,.0f} images a second")

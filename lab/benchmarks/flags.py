"""Find the fastest precision, threads and parallel jobs of this machine.

usage: python -m lab.benchmarks.flags [options]

Takes two minutes, in which the machine should be idle, and prints the flags of fit and
compare to copy.

  --arch NAME ...      the networks (default: all)
  --seconds N          how long to measure (default: 90)

Example:
  python -m lab.benchmarks.flags --arch maxpool
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.managers import SyncManager
from statistics import median
from threading import Barrier, BrokenBarrierError
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.command_line import Parser
from convblocks.compare.forked import context, die_with_parent
from convblocks.console import answer, command_text, echo, end
from convblocks.diagnosis.advice import whole_percent
from convblocks.errors import UserError
from convblocks.figures.tables import Table, to_console
from convblocks.model.networks import ARCHITECTURES
from convblocks.run import fit
from convblocks.run.config import Config
from convblocks.run.make import make_run
from lab.benchmarks.harness import apart

Precision = Literal["32-true", "bf16-mixed"]
PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed")
BATCH_SIZE = 64

# Seconds of measurements, for all networks together; imports and a measurement that is
# running at the end come on top.
BUDGET = 90

# Each setting is tried once, for about so many seconds, and again in up to so many
# rounds, with so many steps.
TRIAL_SECONDS = 0.3
ROUND_SECONDS = 0.6
ROUNDS = 5
FIRST_STEPS = 10
FEWEST_STEPS = 5
MOST_STEPS = 400

# A setting below this share of the fastest is not measured again; one is not faster
# than another by less than a factor.
HOPELESS = 0.75
LEAST_GAIN = 1.05

# Precisions on accelerators, and numbers of runs that share one, which depends on its memory.
ACCELERATED: dict[str, tuple[Precision, ...]] = {"cuda": PRECISIONS, "mps": ("32-true",)}
SHARING = (2, 4)

# Jobs side by side wait for each other so long at most.
PATIENCE_SECONDS = 120

# A machine is not quiet if more processes than this, for each of its CPUs, have wanted
# to compute in the last minute.
QUIET = 0.25

NOTES = (
    "Median [lowest, highest] of all jobs together; ~ where measured once. Of those that are not "
    "clearly slower than the fastest, or by less than "
    f"{whole_percent(LEAST_GAIN - 1)}, the nearest to the command's defaults is best.\n"
    "bf16-mixed multiplies with 8 significant bits instead of 24: its results are not those of "
    "32-true. Another number of threads changes only how sums round. Compare runs that were "
    "trained alike."
)


class Setting(NamedTuple):
    """How to train: accelerator and precision as Lightning names them, runs side by
    side, CPU threads of each.
    """

    accelerator: str
    precision: Precision
    jobs: int
    threads: int

    def __str__(self) -> str:
        return f"{self.accelerator} {self.precision}, jobs {self.jobs}, threads {self.threads}"


# Images a second of all jobs together, as measured one after the other.
Paces = dict[Setting, list[float]]

# Of a network, a setting and steps: images a second.
Measure = Callable[[str, Setting, int], float]


def main(arguments: list[str]) -> None:
    """Measure, and print a table for each network with the flags to copy.

    Raises:
        UserError: a measurement failed.
    """
    parser = Parser()
    parser.add_argument(
        "--arch", nargs="+", default=list(ARCHITECTURES), choices=list(ARCHITECTURES)
    )
    parser.add_argument("--seconds", type=int, default=BUDGET)
    options = parser.parse_args(arguments)
    archs = list(dict.fromkeys(options.arch))
    echo(f"Measuring for up to {options.seconds} seconds; nothing else should run on this machine.")
    all_cpus = os.cpu_count() or 1
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else all_cpus
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > QUIET * cpus:
        echo(
            f"It is not quiet: its load in the last minute is {load:.1f}. "
            "Wait until it is, or expect wrong answers."
        )
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    accelerators = [name for name, is_there in available.items() if is_there]
    threads = torch.get_num_threads()
    device = accelerators[0] if accelerators else "cpu"
    defaults = Setting(device, "32-true", 1, threads), Setting(device, "32-true", all_cpus, 1)
    settings = list(dict.fromkeys([*defaults, *candidates(cpus, threads, accelerators)]))
    end = time.perf_counter() + options.seconds
    for left, arch in zip(range(len(archs), 0, -1), archs, strict=True):
        now = time.perf_counter()
        paces = survey(arch, settings, defaults, now + (end - now) / left, images_per_second)
        echo("")
        to_console([table(arch, paces, defaults)])
        one, many = commands(arch, paces, defaults)
        echo(f"One run:   {one}")
        echo(f"Many runs: {many}")
    echo(NOTES)


def candidates(cpus: int, threads: int, accelerators: Sequence[str]) -> list[Setting]:
    """The settings to try: ``threads`` is how many torch takes by itself, the physical
    cores as a rule.
    """
    layouts = [(1, number) for number in counts(threads)]
    layouts += [(jobs, max(1, threads // jobs)) for jobs in counts(cpus) if jobs > 1]
    shared = [(1, threads), *((jobs, 1) for jobs in SHARING if jobs <= cpus)]
    on = [
        *((name, ACCELERATED[name], shared) for name in accelerators),
        ("cpu", PRECISIONS, layouts),
    ]
    return [
        Setting(name, precision, *layout)
        for name, own, those in on
        for precision in own
        for layout in those
    ]


def counts(most: int) -> list[int]:
    """Up to four numbers from 1 to the most, at equal ratios."""
    return sorted({round(most ** (third / 3)) for third in range(4)})


def survey(
    arch: str,
    settings: Sequence[Setting],
    defaults: Sequence[Setting],
    end: float,
    measure: Measure,
    clock: Callable[[], float] = time.perf_counter,
) -> Paces:
    """Try settings shortly, then measure those with a chance, in turn, until the time
    is up.

    In turn, so that a change of the machine's pace meets all of them; the defaults
    first, and then those that look best, should the time not suffice.
    """
    paces: Paces = {}
    of_a_job = measure(arch, defaults[0], FIRST_STEPS)
    in_turn = sorted(settings, key=lambda setting: setting not in defaults)
    for number in range(1 + ROUNDS):
        for setting in in_turn:
            known = paces.get(setting, [])
            is_default = setting in defaults
            if clock() >= end and (known or not is_default):
                continue
            if len(known) > is_default and is_hopeless(setting, paces):  # defaults get a second try
                continue
            images = of_a_job * TRIAL_SECONDS
            if known:
                images = median(known) / setting.jobs * ROUND_SECONDS
            steps = round(images / BATCH_SIZE)
            pace = measure(arch, setting, min(max(steps, FEWEST_STEPS), MOST_STEPS))
            of_a_job = max(of_a_job, pace / setting.jobs)
            paces[setting] = [*known, pace]
            kind = f"round {number}" if number else "trial"
            echo(f"{arch}  {kind}  {setting}: {pace:,.0f} images a second")
        in_turn = sorted(
            paces, key=lambda setting: (setting not in defaults, -median(paces[setting]))
        )
    return paces


def is_hopeless(setting: Setting, paces: Paces) -> bool:
    rivals = []
    for other, pace in paces.items():
        if other.jobs == 1 or setting.jobs > 1:
            rivals.append(median(pace))
    return median(paces[setting]) < HOPELESS * max(rivals)


def best(paces: Paces, default: Setting) -> Setting:
    """Of the settings that the fastest is not clearly faster than the nearest to the
    default, in precision first.

    A setting that was measured once is no alternative.
    """
    known = {
        setting: pace for setting, pace in paces.items() if len(pace) > 1 or setting == default
    }
    fastest = max((pace for pace in known.values() if len(pace) > 1), key=median, default=[0.0])
    tied = [
        setting
        for setting, pace in known.items()
        if min(fastest) <= max(pace) or median(fastest) < LEAST_GAIN * median(pace)
    ]

    def preference(setting: Setting) -> tuple[bool, int, float]:
        differences = sum(part != usual for part, usual in zip(setting, default, strict=True))
        return setting.precision != default.precision, differences, -median(paces[setting])

    return min(tied, key=preference)


def chosen(paces: Paces, defaults: Sequence[Setting]) -> tuple[Setting, Setting]:
    """The settings for one run and for many; ``defaults`` are those of fit and compare."""
    single = {setting: pace for setting, pace in paces.items() if setting.jobs == 1}
    return best(single, defaults[0]), best(paces, defaults[1])


def table(arch: str, paces: Paces, defaults: Sequence[Setting]) -> Table:
    """All settings that were measured."""
    rows = []
    for setting, pace in paces.items():
        spread = f"~{pace[0]:,.0f}"
        if len(pace) > 1:
            spread = f"{median(pace):,.0f} [{min(pace):,.0f}, {max(pace):,.0f}]"
        purposes = zip(("one run", "many runs"), chosen(paces, defaults), strict=True)
        best_for = [purpose for purpose, best_setting in purposes if best_setting == setting]
        rows.append([*map(str, setting), spread, ", ".join(best_for)])
    columns = ["device", "precision", "jobs", "threads", "images a second", "best for"]
    return Table(f"{arch}: the fastest settings here", columns, rows)


def commands(arch: str, paces: Paces, defaults: Sequence[Setting]) -> list[str]:
    """Those to copy for one run and for many, with all flags."""
    found = []
    for name, setting in zip(("fit", "compare"), chosen(paces, defaults), strict=True):
        jobs = f"--jobs {setting.jobs}" if name == "compare" else ""
        flags = (
            f"--arch {arch} --trainer.accelerator {setting.accelerator} --trainer.devices 1 "
            f"--trainer.precision {setting.precision} {jobs} --threads {setting.threads}"
        )
        found.append(command_text(name, *flags.split()))
    return found


def images_per_second(arch: str, setting: Setting, steps: int) -> float:
    """Train in fresh processes, as many as there are jobs, which begin together; the
    pace of the slowest of them.
    """
    forks = context(__name__)
    manager = SyncManager(ctx=forks)
    manager.start(die_with_parent)
    with manager, ProcessPoolExecutor(setting.jobs, forks, die_with_parent) as pool:
        start = manager.Barrier(setting.jobs)
        jobs = [pool.submit(_train, arch, setting, steps, start) for _ in range(setting.jobs)]
        for error in [job.exception() for job in jobs]:
            if isinstance(error, BrokenProcessPool | torch.OutOfMemoryError):
                raise UserError(f"{arch}, {setting}: killed, perhaps for want of memory") from error
            if error and not isinstance(error, BrokenBarrierError):
                raise error
        return setting.jobs * steps * BATCH_SIZE / max(job.result() for job in jobs)


class SharedStart(Callback):
    """A stopwatch that begins after some steps, in several processes together, on a
    device that may lag behind.

    Attributes:
        seconds: From then on until the epoch's last step.
    """

    def __init__(self, warm_up_steps: int, start: Barrier, accelerator: str) -> None:
        self.warm_up_steps = warm_up_steps
        self.start = start
        self.synchronize: Callable[[], None] = getattr(torch, accelerator).synchronize

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == self.warm_up_steps:
            self.synchronize()
            self.start.wait(PATIENCE_SECONDS)
            self.began = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.synchronize()
        self.seconds = time.perf_counter() - self.began


def _train(arch: str, setting: Setting, steps: int, start: Barrier) -> float:
    """Train an epoch of some steps that are not timed and some that are; the seconds of
    the latter.
    """
    warm_up_steps = 3 + steps // 4
    stopwatch = SharedStart(warm_up_steps, start, setting.accelerator)
    options = {
        "arch": arch,
        "name": "measured",
        "epochs": 1,
        "batch_size": BATCH_SIZE,
        "threads": setting.threads,
        "trainer.accelerator": setting.accelerator,
        "trainer.devices": 1,
        "trainer.precision": setting.precision,
        "trainer.limit_train_batches": warm_up_steps + steps,
        "trainer.limit_val_batches": 1,
        "trainer.logger": False,
    }
    flags = [f"--{option}={value}" for option, value in options.items()]
    try:
        with apart():
            run = make_run(Config.parse(flags), [stopwatch])
            run.prepare()
            run.directory.create(exist_ok=True)
            fit.complete(run)
    except BaseException:
        start.abort()  # or the other jobs would wait for this one
        raise
    return stopwatch.seconds


if __name__ == "__main__":
    end(answer(main, __doc__))

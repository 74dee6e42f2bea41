"""Further measurements of training: what a step is made of, runs side by side, and
whole commands.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise

from pyinstrument import Profiler

from convblocks.errors import UserError
from lab.benchmarks.harness import THREADS, TakeTurn, Turns, in_turns
from lab.benchmarks.rows import Row, single_row
from lab.benchmarks.training import moments
from lab.benchmarks.training.parts import LOOKS_EVERY, OTHER, PARTS, part_of
from lab.benchmarks.training.ways import Case, Stopwatch, train
from lab.pages.writing import REPOSITORY

FIT = str(REPOSITORY / "scripts" / "fit.py")

# The imports of every Lightning project on MNIST.
IMPORTS = "import lightning, torchvision"


class Sampler(Stopwatch):
    """Has pyinstrument look again and again at which part of a step is running, and
    reports the seconds of each.

    It looks when a function is called or left; one in C is its caller's.
    """

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.profiler = Profiler(LOOKS_EVERY, async_mode="disabled")
        self.profiler.start()

    def on_validation_start(self) -> None:
        self.session = self.profiler.stop()
        super().on_validation_start()

    def rows(self) -> list[Row]:
        (timed,) = super().rows()
        seen = {part.name: 0.0 for part in (*PARTS, OTHER)}
        for frames, seconds in self.session.frame_records:
            seen[part_of(frames)] += seconds
        share = timed.values["training"] / sum(seen.values())
        return [Row({"of": name}, {"seconds": share * seconds}) for name, seconds in seen.items()]


def parts_of_steps(case: Case, turns: Turns) -> None:
    """Take turns in which the parts of all steps are timed."""
    train(case, turns, Sampler)


@contextmanager
def side_by_side(case: Case, threads: int, runs: int) -> Iterator[TakeTurn]:
    """Runs of ``fit`` that train at the same time: seconds for each image of all of them
    together.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(runs))
        turns = [stack.enter_context(in_turns(threads, train, case)) for _ in range(runs)]

        def take_turn() -> list[Row]:
            taken = pool.map(lambda take: take(), turns)
            slowest = max(row.values["step"] for (row,) in taken)
            return single_row(seconds=slowest / (runs * case.batch_size))

        yield take_turn


def imports() -> list[Row]:
    """How long those of every Lightning project take.

    Raises:
        UserError: they fail.
    """
    return single_row(seconds=time_command(["-c", IMPORTS])[-1][0])


def first_step(arch: str) -> list[Row]:
    """How long ``fit`` takes until its first step is done.

    Raises:
        UserError: it failed.
    """
    steps = "--trainer.limit_train_batches 1 --trainer.limit_val_batches 0"
    lines = time_fit(f"--arch {arch} --epochs 1 {steps}")
    return single_row(seconds=arrival(lines, "1/1 "))


def whole_command(arch: str, fast: str) -> list[Row]:
    """The seconds of a command that trains for an epoch, from Enter to its end, and
    those of its parts.

    Raises:
        UserError: it failed.
    """
    watch = f"--trainer.callbacks {moments.__name__}.Moments"
    lines = time_fit(f"--arch {arch} --epochs 1 --fast {fast} {watch}")
    whole = lines[-1][0]
    ends = [arrival(lines, f"{moments.MARK} {part}") for part in moments.PARTS[:-1]]
    seconds = [end - start for start, end in pairwise([0.0, *ends, whole])]
    return single_row(**dict(zip(moments.PARTS, seconds, strict=True)), seconds=whole)


def sprint(precision: str, seeds: Iterator[int]) -> list[Row]:
    """``configs/sprint.yaml`` with the next seed: seconds from the command to the line
    with the test accuracy.

    Raises:
        UserError: it failed.
    """
    options = f"--trainer.precision {precision} --seed {next(seeds)}"
    lines = time_fit(options, "--config", str(REPOSITORY / "configs" / "sprint.yaml"))
    printed = "".join(line for _, line in lines)
    (accuracy,) = re.findall(r"^test accuracy (.*?) %", printed, re.MULTILINE)
    return single_row(seconds=arrival(lines, "1/1 "), accuracy=float(accuracy) / 100)


def time_fit(options: str, *more: str) -> list[tuple[float, str]]:
    return time_command([FIT, *more, *f"--threads {THREADS} {options}".split()])


def time_command(command: list[str]) -> list[tuple[float, str]]:
    """The lines that a Python command prints, each with the seconds from its start on
    when it came, and behind them an empty one for its end.

    Raises:
        UserError: it failed.
    """
    # Of what lab has for fit.
    path = f"{REPOSITORY}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as run:
            lines = [(time.perf_counter() - began, line) for line in run.stdout or ()]
        lines.append((time.perf_counter() - began, ""))
    if run.returncode != 0:
        printed = "".join(line for _, line in lines)
        raise UserError(f"{' '.join(command)} ended with status {run.returncode}:\n{printed}")
    return lines


def arrival(lines: Sequence[tuple[float, str]], text: str) -> float:
    """When the last line with a text came."""
    return next(seconds for seconds, line in reversed(lines) if text in line)

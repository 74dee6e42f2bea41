"""Further measurements of training: what a step is made of, runs side by side, and
whole commands.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from convblocks.errors import UserError
from lab.benchmarks.flags import Setting, images_per_second
from lab.benchmarks.harness import Turns
from lab.benchmarks.rows import Row
from lab.benchmarks.training.ways import WAYS, Case, Stopwatch

REPOSITORY = Path(__file__).resolve().parents[3]
FIT = str(REPOSITORY / "scripts" / "fit.py")

# The imports of every Lightning project on MNIST.
IMPORTS = "import lightning, torchvision"

# Seconds between two looks at what a step is doing.
LOOKS_EVERY = 0.00025


@dataclass(frozen=True)
class Part:
    """Of a training step: the functions in which it is spent, and what one gets for it."""

    name: str
    functions: tuple[str, ...]
    buys: str


# A step is in the first of them that has the innermost function.
PARTS = (
    Part(
        "batch",
        ("_DataFetcher.__next__", "NormalisedLoader.__iter__"),
        "fetched by index; fit also normalises it",
    ),
    Part("forward", ("Module._wrapped_call_impl", "cross_entropy"), "logits and loss"),
    Part("backward", ("Tensor.backward",), "gradients"),
    Part(
        "Adam",
        ("Optimizer.profile_hook_step.<locals>.wrapper", "Adam.zero_grad", "Optimizer.zero_grad"),
        "the step",
    ),
    Part(
        "metrics",
        ("Metric._wrap_update.<locals>.wrapped_func",),
        "training loss and accuracy, exact at a resume",
    ),
    Part(
        "logs",
        (
            "LightningModule.log",
            "_LoggerConnector.on_batch_start",
            "_LoggerConnector.on_batch_end",
            "_LoggerConnector.update_train_step_metrics",
            "MetricsLog.on_train_batch_end",
        ),
        "curves in TensorBoard and metrics.csv; values for callbacks",
    ),
    Part("signals", ("ExactResume.on_train_batch_end",), "a preempted run saves after this step"),
)
OTHER = Part("loop", (), "Lightning's loop: counters, hooks, when to stop")


class Sampler(Stopwatch):
    """Looks again and again at which part of a step is running, and reports the
    microseconds of each.

    The clock interrupts between two of Python's instructions; a function in C is its
    caller's.
    """

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.seen = Counter[str]()
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, LOOKS_EVERY, LOOKS_EVERY)

    def on_validation_start(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        super().on_validation_start()

    def rows(self) -> list[Row]:
        (timed,) = super().rows()
        rows = []
        for part in (*PARTS, OTHER):
            seconds = timed.values["training"] * self.seen[part.name] / self.seen.total()
            rows.append(Row({"of": part.name}, {"seconds": seconds}))
        return rows

    def _look(self, number: int, frame: FrameType | None) -> None:
        while frame is not None:
            for part in PARTS:
                if frame.f_code.co_qualname in part.functions:
                    self.seen[part.name] += 1
                    return
            frame = frame.f_back
        self.seen[OTHER.name] += 1


def parts_of_steps(case: Case, turns: Turns) -> None:
    """Take turns in which the parts of all steps are timed."""
    WAYS[case.variant](case, Sampler(turns))


def side_by_side(arch: str, jobs: int, threads: int, steps: int) -> list[Row]:
    """Runs of ``fit`` that train at the same time: seconds for each image of all of
    them together.
    """
    setting = Setting("cpu", "32-true", jobs, threads)
    return [Row({}, {"seconds": 1 / images_per_second(arch, setting, steps)})]


def command(name: str, arch: str, threads: int) -> Iterator[Row]:
    """How long one of the commands takes.

    Raises:
        UserError: it failed.
    """
    options = (
        f"--arch {arch} --epochs 1 --threads {threads} --trainer.limit_train_batches 1 "
        "--trainer.limit_val_batches 0"
    )
    commands: dict[str, Any] = {
        "imports": (["-c", IMPORTS], ""),
        "first step": ([FIT, *options.split()], "1/1 "),
    }
    seconds, _ = time_command(*commands[name])
    yield Row({}, {"seconds": seconds})


def sprint(precision: str, threads: int, seeds: Iterator[int]) -> Iterator[Row]:
    """``configs/sprint.yaml`` with the next seed: seconds from the command to the line
    with the test accuracy.

    Raises:
        UserError: it failed.
    """
    config = str(REPOSITORY / "configs" / "sprint.yaml")
    options = f"--trainer.precision {precision} --threads {threads} --seed {next(seeds)}"
    command = [FIT, "--config", config, *options.split()]
    seconds, output = time_command(command, until="1/1 ")
    (accuracy,) = re.findall(r"^test accuracy (.*?) %", output, re.MULTILINE)
    yield Row({}, {"seconds": seconds, "accuracy": float(accuracy) / 100})


def time_command(command: list[str], until: str) -> tuple[float, str]:
    """Seconds from the start of a Python command to the last line that holds a text, or
    to its end; all lines.

    Raises:
        UserError: it failed.
    """
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]  # of the network in sprint.yaml
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process as run:
            assert run.stdout is not None
            lines = []
            for line in run.stdout:
                lines.append(line)
                if until and until in line:
                    seconds = time.perf_counter() - began
        if run.returncode != 0:
            raise UserError(
                f"{' '.join(command)} ended with status {run.returncode}:\n{''.join(lines)}"
            )
        return seconds if until else time.perf_counter() - began, "".join(lines)

"""Times of whole commands: from the start to the first step, and of a comparison's trials side by side."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from convblocks.errors import UserError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

# What no Lightning project starts without.
IMPORTS = "import lightning, torchvision"


def import_seconds() -> float:
    """From the command to the end of the imports that any Lightning project on MNIST needs."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True)
    return time.perf_counter() - began


def first_step_seconds(arch: str, threads: int) -> float:
    """From the command to the line that ``fit.py`` prints after its first optimizer step.

    Raises:
        UserError: the command failed.
    """
    flags = ["--epochs", "1", "--threads", str(threads), "--trainer.limit_train_batches", "1"]
    flags += ["--running_loss", "--trainer.log_every_n_steps", "1"]
    command = [sys.executable, str(SCRIPTS / "fit.py"), "--arch", arch, *flags]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
            assert run.stdout is not None
            lines = []
            for line in run.stdout:
                lines.append(line)
                if "batch 1/1" in line:
                    seconds = time.perf_counter() - began
        _check(command, run.returncode, "".join(lines))
    return seconds


def one_epoch_seconds(arch: str, threads: int, steps: int | None) -> float:
    """How long ``fit.py`` takes for one epoch, from the command to its end.

    Raises:
        UserError: the command failed.
    """
    return _seconds("fit", ["--arch", arch, "--epochs", "1", "--threads", str(threads), *_limits(steps)])


def compare_seconds(arch: str, jobs: int, threads: int, runs: int, epochs: int, steps: int | None) -> float:
    """How long ``compare.py`` takes for a number of runs, ``jobs`` of them side by side, with ``threads`` each.

    Raises:
        UserError: the command failed.
    """
    flags = ["--arch", arch, "--seeds", str(runs), "--epochs", str(epochs)]
    return _seconds("compare", [*flags, "--jobs", str(jobs), "--threads", str(threads), *_limits(steps)])


def _limits(steps: int | None) -> list[str]:
    """Flags for an epoch of so many steps, and at most so many batches of its evaluation."""
    if steps is None:
        return []
    return ["--trainer.limit_train_batches", str(steps), "--trainer.limit_val_batches", str(steps)]


def _seconds(script: str, flags: Sequence[str]) -> float:
    """How long a command takes in an empty folder."""
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), *flags]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        ended = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        seconds = time.perf_counter() - began
        _check(command, ended.returncode, ended.stdout)
    return seconds


def _check(command: Sequence[str], status: int, output: str) -> None:
    if status != 0:
        raise UserError(f"{' '.join(command)} ended with status {status}:\n{output}")

"""Times of whole commands: from the start to the first step, and of a comparison's trials side by side."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"

# What no Lightning project starts without.
IMPORTS = "import lightning, torchvision"


def import_seconds() -> float:
    """From the command to the end of the imports that any Lightning project on MNIST needs."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True)
    return time.perf_counter() - began


def first_step_seconds(arch: str) -> float:
    """From the command to the line that ``fit.py`` prints after its first optimizer step."""
    flags = ["--running_loss", "--trainer.log_every_n_steps", "1", "--trainer.limit_train_batches", "1"]
    command = [sys.executable, str(SCRIPTS / "fit.py"), "--arch", arch, *flags]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
            assert run.stdout is not None
            next(line for line in run.stdout if "batch 1/1" in line)
            seconds = time.perf_counter() - began
            run.stdout.read()
    return seconds


def compare_seconds(arch: str, jobs: int, threads: int, runs: int, epochs: int, steps: int | None) -> float:
    """How long ``compare.py`` takes for some runs, so many side by side with so many threads each."""
    flags = ["--arch", arch, "--seeds", str(runs), "--epochs", str(epochs)]
    flags += ["--jobs", str(jobs), "--threads", str(threads)]
    if steps is not None:
        flags += ["--trainer.limit_train_batches", str(steps)]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, str(SCRIPTS / "compare.py"), *flags], cwd=folder, check=True, capture_output=True
        )
        return time.perf_counter() - began

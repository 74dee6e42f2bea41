"""If one of several processes is killed or fails, the others stop, and each says so in a line."""

import re
import time
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.core.run.several import COMMON, TORCHRUN
from tests.core.run.test_distributed import FIT
from tests.quick_python import run_quickly

pytestmark = pytest.mark.slow

NIGHTLY = pytest.mark.nightly

MORTAL = """
import os, signal, time
from pathlib import Path

from torch import nn

RANK = int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or os.environ.get("LOCAL_RANK") or 0)


class Mortal(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
        self.steps = 0

    def forward(self, images):
        self.steps += self.training
        for fate in os.environ.get("FATES", "").split():
            what, rank, step = fate.split(":")
            if self.training and self.steps == int(step) and rank in (str(RANK), "all"):
                Path(f"{what}_at").write_text(str(time.time()))
                globals()[what]()
        return super().forward(images)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def fail():
    raise IndexError("a mistake of the user's own")

"""

FLAGS = ["--arch", "mortal.Mortal", "--epochs", "2", *COMMON, "--trainer.strategy", "ddp"]
FLAGS += ["--trainer.limit_train_batches", "100", "--trainer.limit_val_batches", "2"]

# The line of a process that misses another.
LOST = "fit.py: another process of this run was lost or has failed: carry on with --resume"


@pytest.fixture
def mortal(workspace: Path) -> Path:
    """A folder with a network that fails as the environment asks."""
    (workspace / "mortal.py").write_text(MORTAL)
    return workspace


def train(folder: Path, launcher: str = "Lightning", fates: str = "") -> CompletedProcess[str]:
    """Train the network on two processes; returns when the last of them has closed its output."""
    start = [*TORCHRUN, "--standalone", "--nproc_per_node=2"] if launcher == "torchrun" else []
    return run_quickly(*start, FIT, *FLAGS, "--trainer.devices", "2", cwd=folder, FATES=fates)


def lines_of(launcher: str, stderr: str) -> list[str]:
    """The lines of the processes themselves, without torchrun's own report."""
    if launcher == "torchrun":
        stderr, *_ = re.split(r"^E.* failed \(exitcode", stderr, flags=re.MULTILINE)
        stderr = re.sub(r"^(W\d{4} .*|\*+|Setting OMP_NUM_THREADS.*|)\n", "", stderr, flags=re.MULTILINE)
    return stderr.splitlines()


def seconds_since(what: str, folder: Path) -> float:
    return time.time() - float((folder / f"{what}_at").read_text())


@pytest.mark.parametrize(
    ("launcher", "rank"), [("Lightning", 1), ("torchrun", 0), pytest.param("Lightning", 0, marks=NIGHTLY)]
)
def test_lost_process_ends_the_run_with_one_line(mortal: Path, launcher: str, rank: int) -> None:
    finished = train(mortal, launcher=launcher, fates=f"kill:{rank}:150")
    assert seconds_since("kill", mortal) < 10
    assert finished.returncode != 0
    assert lines_of(launcher, finished.stderr) == [LOST]


@pytest.mark.parametrize("launcher", ["Lightning", pytest.param("torchrun", marks=NIGHTLY)])
def test_failed_process_has_its_traceback_and_ends_the_others_with_a_line(launcher: str, mortal: Path) -> None:
    finished = train(mortal, launcher=launcher, fates="fail:1:150")
    assert seconds_since("fail", mortal) < 10
    assert finished.returncode == 1
    lines = lines_of(launcher, finished.stderr)
    assert lines.count(LOST) == 1
    assert sum("Traceback (most recent call last)" in line for line in lines) == 1
    assert sum("IndexError: a mistake of the user's own" in line for line in lines) == 1

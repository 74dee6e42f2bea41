"""If one of several processes is killed or fails, the others stop, and each says so in a line."""

import time
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.core.run.several import COMMON
from tests.core.run.test_distributed import FIT
from tests.quick_python import run_quickly

pytestmark = pytest.mark.slow

MORTAL = """
import os, signal, time
from pathlib import Path

from torch import nn


class Mortal(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
        self.steps = 0

    def forward(self, images):
        self.steps += self.training
        what, rank = os.environ["FATE"].split(":")
        if self.steps == 150 and int(rank) == int(os.environ.get("LOCAL_RANK", 0)):
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
LOST = "fit.py: another process of this run was lost or has failed: continue with --resume"


@pytest.fixture
def mortal(workspace: Path) -> Path:
    """A folder with a network that fails as the environment asks."""
    (workspace / "mortal.py").write_text(MORTAL)
    return workspace


def train(folder: Path, fate: str) -> CompletedProcess[str]:
    """Train the network on two processes, the last of which closes its output within
    ten seconds of the event.
    """
    finished = run_quickly(FIT, *FLAGS, "--trainer.devices", "2", cwd=folder, FATE=fate)
    assert time.time() - float((folder / f"{fate.partition(':')[0]}_at").read_text()) < 10
    return finished


@pytest.mark.parametrize("rank", [1, pytest.param(0, marks=pytest.mark.nightly)])
def test_lost_process_ends_the_run_with_one_line(mortal: Path, rank: int) -> None:
    finished = train(mortal, f"kill:{rank}")
    assert finished.returncode != 0
    assert finished.stderr.splitlines() == [LOST]


def test_failed_process_has_its_traceback_and_ends_the_others_with_a_line(mortal: Path) -> None:
    finished = train(mortal, "fail:1")
    assert finished.returncode == 1
    lines = finished.stderr.splitlines()
    assert lines.count(LOST) == 1
    assert sum("Traceback (most recent call last)" in line for line in lines) == 1
    assert sum("IndexError: a mistake of the user's own" in line for line in lines) == 1

"""If one of several processes is killed or fails, the others stop, and one line reports it."""

import re
import subprocess
import sys
import time
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from convblocks.runs.directory import RunDirectory
from convblocks.training import slurm
from tests.quick_python import run_quickly
from tests.training.several import COMMON, TORCHRUN
from tests.training.test_distributed import FIT
from tests.training.test_fit import assert_same_weights

pytestmark = pytest.mark.slow

NIGHTLY = pytest.mark.nightly

# What befalls it is in the environment and not in the run's settings, so that a resume has the same.
MORTAL = """
import os, signal, time, warnings
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


def sleep():
    time.sleep(60)


def warn():
    warnings.warn("a warning of the user's own")
"""

FLAGS = ["--arch", "mortal.Mortal", "--epochs", "2", *COMMON, "--trainer.strategy", "ddp"]
FLAGS += ["--trainer.limit_train_batches", "100", "--trainer.limit_val_batches", "2"]


@pytest.fixture
def mortal(workspace: Path) -> Path:
    """A folder with a network that fails as the environment asks."""
    (workspace / "mortal.py").write_text(MORTAL)
    return workspace


def train(launcher: str, folder: Path, *more: str, fates: str = "", processes: int = 2) -> CompletedProcess[str]:
    """Train the network; returns when the last process has closed its output."""
    start = [*TORCHRUN, "--standalone", f"--nproc_per_node={processes}"] if launcher == "torchrun" else []
    layout = ["--trainer.devices", str(processes), "--batch_size", str(30 * processes)]
    return run_quickly(*start, FIT, *FLAGS, *layout, *more, cwd=folder, FATES=fates)


def lines_of(launcher: str, stderr: str) -> list[str]:
    """The lines of the processes themselves, without torchrun's own report."""
    lines = stderr.splitlines()
    if launcher != "torchrun":
        return lines
    of_torchrun = next(number for number, line in enumerate(lines) if re.match(r"E.* failed \(exitcode", line))
    begins = re.compile(r"W\d{4} .* closing signal|W\d{4} .*run\.py|\*+$|Setting OMP_NUM_THREADS|$")
    return [line for line in lines[:of_torchrun] if not begins.match(line)]


def seconds_since(what: str, folder: Path) -> float:
    return time.time() - float((folder / f"{what}_at").read_text())


def lost(advice: str, *ranks: int) -> str:
    """The line that reports them."""
    processes = " and ".join(f"process {rank} on {slurm.host()}" for rank in ranks)
    return f"fit.py: {processes} {'was' if len(ranks) == 1 else 'were'} lost after step 149: {advice}"


ON_RESUME = "carry on with --resume"


@pytest.mark.parametrize(
    ("launcher", "processes", "flags", "fates", "line"),
    [
        pytest.param("Lightning", 2, [], "kill:0:150", lost(ON_RESUME, 0), marks=NIGHTLY),
        ("torchrun", 2, [], "kill:0:150", lost(ON_RESUME, 0)),
        pytest.param("torchrun", 2, [], "kill:1:150", lost(ON_RESUME, 1), marks=NIGHTLY),
        # The other is outside any collective, or keeps no checkpoint.
        ("Lightning", 2, [], "sleep:0:150 kill:1:150", lost(ON_RESUME, 1)),
        pytest.param(
            *["Lightning", 2, ["--trainer.enable_checkpointing", "false"], "kill:1:150"],
            lost("it kept no checkpoint", 1),
            marks=NIGHTLY,
        ),
        pytest.param("Lightning", 3, [], "kill:1:150", lost(ON_RESUME, 1), marks=NIGHTLY),
        ("Lightning", 3, [], "kill:1:150 kill:2:150", lost(ON_RESUME, 1, 2)),
    ],
)
def test_killed_processes_are_named_in_one_line_within_ten_seconds(
    mortal: Path, launcher: str, processes: int, flags: list[str], fates: str, line: str
) -> None:
    finished = train(launcher, mortal, *flags, fates=fates, processes=processes)
    assert seconds_since("kill", mortal) < 10
    assert finished.returncode != 0
    assert lines_of(launcher, finished.stderr) == [line]


def test_a_run_that_lost_a_process_resumes_to_the_same_end(mortal: Path) -> None:
    killed = train("Lightning", mortal, "--name", "killed", fates="kill:1:150")
    assert killed.stderr.splitlines() == [lost(ON_RESUME, 1)]
    resumed = train("Lightning", mortal, "--name", "killed", "--resume")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    train("Lightning", mortal, "--name", "whole")
    assert_same_weights(RunDirectory("whole", mortal), RunDirectory("killed", mortal))


@pytest.mark.parametrize(
    ("launcher", "rank"),
    [
        ("Lightning", "1"),
        ("torchrun", "all"),
        *[pytest.param("Lightning", rank, marks=NIGHTLY) for rank in ("0", "all")],
        *[pytest.param("torchrun", rank, marks=NIGHTLY) for rank in ("0", "1")],
    ],
)
def test_a_users_own_error_has_one_traceback(launcher: str, rank: str, mortal: Path) -> None:
    finished = train(launcher, mortal, fates=f"fail:{rank}:150")
    assert seconds_since("fail", mortal) < 10
    assert finished.returncode == 1
    errors = "\n".join(lines_of(launcher, finished.stderr))
    assert errors.count("Traceback (most recent call last)") == 1
    assert errors.count("IndexError: a mistake of the user's own") == 1
    assert "was lost" not in errors


@pytest.mark.parametrize("rank", ["all", pytest.param("1", marks=NIGHTLY)])
def test_a_warning_is_shown_once(mortal: Path, rank: str) -> None:
    finished = train("Lightning", mortal, fates=f"warn:{rank}:10")
    assert finished.stderr.count("a warning of the user's own") == 2  # the message, and the line of code below it


@NIGHTLY
@pytest.mark.parametrize("processes", [1, 2])
def test_the_command_ends_within_a_second_of_its_last_line(processes: int, mortal: Path) -> None:
    command = [sys.executable, FIT, *FLAGS, "--trainer.devices", str(processes)]
    with subprocess.Popen([*command, "--batch_size", "60"], cwd=mortal, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in process.stdout:  # ends when all of them have
            last_line = time.monotonic()
        assert process.wait() == 0
    assert time.monotonic() - last_line < 1

"""If one of several processes is killed or fails, the others stop, and one line reports it."""

import re
import subprocess
import sys
import time
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

from convblocks.runs.directory import RunDirectory
from convblocks.training import slurm
from tests.quick_python import run_quickly
from tests.training.test_distributed import FIT, TORCHRUN

pytestmark = pytest.mark.slow

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

STEPS = 100  # of an epoch
FLAGS = ["--arch", "mortal.Mortal", "--epochs", "2", "--threads", "1", "--trainer.accelerator", "cpu"]
FLAGS += ["--trainer.strategy", "ddp", "--trainer.limit_train_batches", str(STEPS), "--trainer.limit_val_batches", "2"]

LAUNCHERS = ["Lightning", "torchrun"]


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


def weights(name: str, folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = RunDirectory(name, folder).last_checkpoint
    state: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return state


def lost(rank: int, step: int) -> str:
    return f"fit.py: process {rank} on {slurm.host()} was lost after step {step}: carry on with --resume"


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_killed_process_is_named_in_one_line_within_ten_seconds(launcher: str, rank: int, mortal: Path) -> None:
    finished = train(launcher, mortal, "--name", "killed", fates=f"kill:{rank}:150")
    assert seconds_since("kill", mortal) < 10
    assert finished.returncode != 0
    assert lines_of(launcher, finished.stderr) == [lost(rank, 149)]


def test_the_run_carries_on_from_its_last_epoch(mortal: Path) -> None:
    train("Lightning", mortal, "--name", "killed", fates="kill:1:150")
    resumed = train("Lightning", mortal, "--name", "killed", "--resume")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    train("Lightning", mortal, "--name", "whole")
    for name, value in weights("whole", mortal).items():
        assert torch.equal(weights("killed", mortal)[name], value), name


def test_a_process_outside_any_collective_ends_too(mortal: Path) -> None:
    finished = train("Lightning", mortal, "--name", "killed", fates="sleep:0:150 kill:1:150")
    assert seconds_since("kill", mortal) < 10
    assert finished.returncode == 1
    assert lines_of("Lightning", finished.stderr) == [lost(1, 149)]


def test_the_rest_of_three_processes_report_once(mortal: Path) -> None:
    finished = train("Lightning", mortal, "--name", "killed", fates="kill:1:150", processes=3)
    assert seconds_since("kill", mortal) < 10
    assert finished.stderr.splitlines() == [lost(1, 149)]


def test_two_lost_processes_are_both_named(mortal: Path) -> None:
    finished = train("Lightning", mortal, "--name", "killed", fates="kill:1:150 kill:2:150", processes=3)
    both = f"process 1 on {slurm.host()} and process 2 on {slurm.host()} were lost after step 149"
    assert finished.stderr.splitlines() == [f"fit.py: {both}: carry on with --resume"]


def test_a_run_without_checkpoints_gives_other_advice(mortal: Path) -> None:
    finished = train("Lightning", mortal, "--trainer.enable_checkpointing", "false", fates="kill:1:150")
    assert finished.stderr.splitlines() == [lost(1, 149).replace("carry on with --resume", "it kept no checkpoint")]


@pytest.mark.parametrize("rank", ["0", "1", "all"])
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_users_own_error_has_one_traceback(launcher: str, rank: str, mortal: Path) -> None:
    finished = train(launcher, mortal, "--name", "failed", fates=f"fail:{rank}:150")
    assert seconds_since("fail", mortal) < 10
    assert finished.returncode == 1
    errors = "\n".join(lines_of(launcher, finished.stderr))
    assert errors.count("Traceback (most recent call last)") == 1
    assert errors.count("IndexError: a mistake of the user's own") == 1
    assert "was lost" not in errors


def test_a_warning_of_several_processes_is_shown_once(mortal: Path) -> None:
    finished = train("Lightning", mortal, fates="warn:all:10")
    assert finished.stderr.count("a warning of the user's own") == 2  # the message, and the line of code below it


def test_a_warning_of_a_further_process_alone_is_shown(mortal: Path) -> None:
    finished = train("Lightning", mortal, fates="warn:1:10")
    assert "a warning of the user's own" in finished.stderr


def test_an_error_of_all_processes_is_reported_once(mortal: Path) -> None:
    train("torchrun", mortal, "--name", "other", "--seed", "1")
    finished = train("torchrun", mortal, "--name", "other", "--seed", "2", "--resume")
    assert finished.stderr.count("resume it with its own settings, or choose another --name") == 1


def test_a_damaged_config_is_said_once(mortal: Path) -> None:
    damaged = mortal / "lightning_logs" / "damaged" / "config.yaml"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("arch: [")
    finished = train("torchrun", mortal, "--name", "damaged", "--resume")
    assert finished.stderr.count("missing or damaged") == 1


@pytest.mark.parametrize("processes", [1, 2])
def test_the_command_ends_within_a_second_of_its_last_line(processes: int, mortal: Path) -> None:
    command = [sys.executable, FIT, *FLAGS, "--trainer.devices", str(processes)]
    with subprocess.Popen([*command, "--batch_size", "60"], cwd=mortal, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in process.stdout:  # ends when all of them have
            last_line = time.monotonic()
        assert process.wait() == 0
    assert time.monotonic() - last_line < 1

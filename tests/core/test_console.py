"""Exit statuses, Ctrl-C and pipes, seen from outside."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from convblocks.record.directory import RunDirectory
from tests.conftest import DEBUG, REPOSITORY
from tests.scripts import run_script, wait_until

FIT = [sys.executable, str(REPOSITORY / "scripts" / "fit.py")]


@pytest.mark.slow
def test_run_shows_the_layers_once_if_asked_for(workspace: Path) -> None:
    flags = [*DEBUG, "--arch", "maxpool", "--trainer.enable_model_summary", "true"]
    finished = run_script("fit", *flags, cwd=workspace, fresh=True)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.count("Total params") == 1


@pytest.mark.slow
def test_ctrl_c_is_status_130_and_keeps_finished_epochs(workspace: Path) -> None:
    command = [*FIT, *DEBUG, "--arch", "mlp", "--epochs", "10000", "--name", "run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = RunDirectory("run")
    try:
        wait_until(run.last_checkpoint.exists, seconds=120)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    said, stopped = errors.strip().splitlines()
    assert said == "saving at the end of this batch or evaluation; Ctrl-C again ends at once"
    assert stopped.endswith(f": continue with python {FIT[1]} --name run --resume")
    assert run.last_checkpoint.exists()
    assert run.metrics.read_text().startswith("epoch,step")
    assert not run.summary.exists()


LEAVES = """
import atexit, sys, threading, time
from convblocks.console import answer, end

class Module:
    def __del__(self):
        print("taken apart")

def wait():
    time.sleep(0.2)
    print("the thread")

def main(arguments):
    threading.Thread(target=wait).start()
    atexit.register(print, "the handler", end="", file=sys.stderr)

if __name__ == "__main__":
    module = Module()
    end(answer(main, ""))
"""


def test_command_ends_as_python_does_but_leaves_its_modules_whole(workspace: Path) -> None:
    """Threads are waited for, exit handlers called, and streams written."""
    Path("leaves.py").write_text(LEAVES)
    ended = subprocess.run(
        [sys.executable, "leaves.py"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the thread\n", "the handler")


@pytest.mark.slow
def test_pipe_whose_reader_leaves_ends_the_run_quietly(workspace: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.run(
        [*FIT, *DEBUG, "--arch", "mlp"], stdout=write_end, stderr=subprocess.PIPE, check=False
    )
    os.close(write_end)
    assert (process.returncode, process.stderr) == (1, b"")

"""A run that is killed at a file operation, or cannot write, loses nothing that was finished.

Python announces each operation to an audit hook before it happens.
"""

import os
import re
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
import torch

from convblocks.record.directory import RunDirectory
from tests.core.run.test_fit import assert_same_weights, metric_rows
from tests.scripts import run_script

pytestmark = pytest.mark.slow

NEVER = sys.maxsize

BELOW = "lightning_logs/hit"  # only operations on paths with this part count

# Python's names for changes of a folder; replacing a file is renaming.
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")


def test_kill_at_a_file_operation_costs_nothing_finished(folder: Path) -> None:
    """At the last operation of each kind, when there is most to lose."""
    _, operations = fit(folder, NEVER)
    assert_same_end(folder)
    last = {kind_of(operation): number for number, operation in enumerate(operations)}
    assert len(last) > 15
    for at in last.values():
        killed, _ = fit(folder, at)
        assert killed.returncode == -signal.SIGKILL
        resumed, _ = fit(folder, NEVER)
        assert (resumed.returncode, resumed.stderr) == (0, ""), operations[at]
        assert_same_end(folder)


def test_checkpoint_that_does_not_fit_on_the_disk_leaves_the_last_one(folder: Path) -> None:
    """No file may become larger than half a checkpoint."""
    run = RunDirectory("run", folder)
    before = {path.name: path.read_bytes() for path in run.last_checkpoint.parent.iterdir()}
    longer = ["--name", "run", "--resume", "--epochs", "3"]
    size = len(before["last.ckpt"]) // 2
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    ended = run_script("fit", *longer, cwd=folder, prepare=limit)
    assert ended.returncode == 1
    assert re.fullmatch(
        r"fit.py: cannot write to \S+ \(File too large\); continue with --resume\n", ended.stderr
    )
    assert {path.name: path.read_bytes() for path in run.last_checkpoint.parent.iterdir()} == before
    assert run_script("fit", *longer, cwd=folder).returncode == 0


def fit(folder: Path, at: int) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run or resume, killed at the operation of that number, and return the operations too."""
    operations = folder.parent / "operations"
    flags = ["--config", "short.yaml", "--arch", "mlp", "--name", "hit", "--resume"]
    ended = run_script("fit", *flags, cwd=folder, prepare=partial(kill_at, at, operations))
    return ended, operations.read_text().splitlines()


def kind_of(operation: str) -> str:
    """The operation without what differs from run to run and from epoch to epoch."""
    return re.sub(r"(\.[0-9a-f]{12}(?=\.tmp)|(?<=tfevents).*)", "", operation)


def assert_same_end(folder: Path) -> None:
    """Check that the run ended like one that was not hit, and remove it."""
    whole, run = RunDirectory("run", folder), RunDirectory("hit", folder)
    assert_same_weights(whole, run)
    best = [
        torch.load(directory.best_checkpoint, weights_only=True)["state_dict"]
        for directory in (whole, run)
    ]
    torch.testing.assert_close(*best, rtol=0, atol=0)
    assert metric_rows(whole) == metric_rows(run)
    assert whole.read_result().final == run.read_result().final
    assert not list(run.path.rglob(".*.tmp"))
    rmtree(run.path)


def kill_at(at: int, operations: Path) -> None:
    """From now on write all file operations to a file, and at that number, from 0, kill
    this process.

    A file that is just being put in place is left half written.
    """
    descriptor = os.open(operations, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    seen = 0

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        path = written_path(event, arguments)
        if BELOW not in path:
            return
        os.write(descriptor, f"{event} {path[path.index(BELOW) :]}\n".encode())
        if seen == at:
            if event == "os.rename" and path.endswith(".tmp"):
                # a Path would be heard of too
                os.truncate(path, os.stat(path).st_size // 2)  # noqa: PTH116
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    sys.addaudithook(hear)


def written_path(event: str, arguments: tuple[Any, ...]) -> str:
    """The path that an operation changes; empty if it changes none."""
    if event == "open":
        path, mode, flags = arguments
        writes = (
            any(letter in mode for letter in "wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
        )
    else:
        path, writes = (arguments[0], True) if event in CHANGES else ("", False)
    return os.fsdecode(path) if writes and isinstance(path, str | bytes | os.PathLike) else ""

"""At any file operation a run may be killed or not be able to write: it loses nothing that was finished.

Where it cannot write, it says so in one line. Python announces each operation to an audit hook before it happens.
"""

import errno
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal

import pytest
import torch

from convblocks.run.directory import RunDirectory
from tests.core.run.test_fit import assert_same_weights, curves, metric_rows
from tests.hostile.bounded import run_bounded

pytestmark = pytest.mark.slow

Fault = Literal["kill", "full disk"]
NEVER = sys.maxsize

RUN = ["--config", "short.yaml", "--arch", "mlp", "--name", "hit", "--resume"]
BELOW = "lightning_logs/hit"  # only operations on paths with this part count

# Python's names for changes of a folder; replacing a file is renaming.
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")

# The operations that a full disk refuses.
NEEDS_SPACE = ("open", "os.mkdir", "os.rename")


@pytest.mark.parametrize(
    ("fault", "every", "status", "says"),
    [
        ("kill", None, -9, ""),
        pytest.param("kill", 1, -9, "", marks=pytest.mark.nightly),
        ("full disk", None, 1, "No space left on device"),
        pytest.param("full disk", 1, 1, "No space left on device", marks=pytest.mark.nightly),
    ],
)
def test_fault_at_a_file_operation_costs_nothing_finished(
    fault: Fault, every: int | None, status: int, says: str, folder: Path
) -> None:
    # To make a folder that is there needs no room.
    failed = [ended for ended in hit(folder, fault, every) if ended.returncode]
    for ended in failed:
        assert ended.returncode == status
        assert "Traceback" not in ended.stderr, ended.stderr
        assert says in ended.stderr
        assert fault == "kill" or ended.stderr.count("\n") == 1
    assert len(failed) > 15


def limit_files(size: int) -> None:
    """Let no file become larger, in bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_checkpoint_that_does_not_fit_on_the_disk_leaves_the_last_one(folder: Path) -> None:
    """No file may become larger than half a checkpoint."""
    run = RunDirectory("run", folder)
    before = {path.name: path.read_bytes() for path in run.last_checkpoint.parent.iterdir()}
    longer = ["--name", "run", "--resume", "--epochs", "3"]
    ended = run_bounded("fit", *longer, cwd=folder, prepare=partial(limit_files, len(before["last.ckpt"]) // 2))
    assert ended.returncode == 1
    assert re.fullmatch(r"fit.py: cannot write to \S+ \(File too large\); carry on with --resume\n", ended.stderr)
    assert {path.name: path.read_bytes() for path in run.last_checkpoint.parent.iterdir()} == before
    assert run_bounded("fit", *longer, cwd=folder).returncode == 0


def hit(folder: Path, fault: Fault, every: int | None) -> Iterator[subprocess.CompletedProcess[str]]:
    """Let a run go wrong at one file operation after the other, and yield how it ended; resumed, it ends the same.

    Args:
        folder: See ``conftest``.
        fault: SIGKILL, which leaves a file that is just being put in place half written, or a disk that is full for a
            moment.
        every: At each so many operations; None for the last one of each kind, when there is most to lose.
    """
    _, operations = fit(folder, fault, NEVER)
    assert_same_end(folder)
    last = {kind_of(operation): number for number, operation in enumerate(operations)}
    for at in range(0, len(operations), every) if every else last.values():
        ended, _ = fit(folder, fault, at)
        yield ended
        resumed, _ = fit(folder, fault, NEVER)
        assert (resumed.returncode, resumed.stderr) == (0, ""), operations[at]
        assert_same_end(folder)


def fit(folder: Path, fault: Fault, at: int) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run or resume with that fault, and return the operations too."""
    operations = folder.parent / "operations"
    ended = run_bounded("fit", *RUN, cwd=folder, prepare=partial(inject, fault, at, operations))
    return ended, operations.read_text().splitlines()


def kind_of(operation: str) -> str:
    """The operation without what differs from run to run and from epoch to epoch."""
    return re.sub(r"(\.[0-9a-f]{12}(?=\.tmp)|(?<=tfevents).*)", "", operation)


def assert_same_end(folder: Path) -> None:
    """Check that the run ended like one that was not hit, and remove it."""
    whole, run = RunDirectory("run", folder), RunDirectory("hit", folder)
    assert_same_weights(whole, run)
    best = [torch.load(directory.best_checkpoint, weights_only=True)["state_dict"] for directory in (whole, run)]
    torch.testing.assert_close(*best, rtol=0, atol=0)
    assert metric_rows(whole) == metric_rows(run)
    assert whole.read_result().final == run.read_result().final
    assert curves(whole)["train/loss"] == curves(run)["train/loss"]
    assert not list(run.path.rglob(".*.tmp"))
    rmtree(run.path)


def inject(fault: Fault, at: int, operations: Path) -> None:
    """From now on let the file operation of that number, from 0, go wrong, and write all of them to a file."""
    descriptor = os.open(operations, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    seen = 0

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        path = written_path(event, arguments)
        if BELOW not in path or (fault == "full disk" and event not in NEEDS_SPACE):
            return
        os.write(descriptor, f"{event} {path[path.index(BELOW) :]}\n".encode())
        number, seen = seen, seen + 1
        if fault == "full disk" and number == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if fault == "kill" and number == at:
            if event == "os.rename" and path.endswith(".tmp"):
                os.truncate(path, os.stat(path).st_size // 2)  # noqa: PTH116  # a Path would be heard of too
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


def written_path(event: str, arguments: tuple[Any, ...]) -> str:
    """The path that an operation changes; empty if it changes none."""
    if event == "open":
        path, mode, flags = arguments
        writes = any(letter in mode for letter in "wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
    else:
        path, writes = (arguments[0], True) if event in CHANGES else ("", False)
    return os.fsdecode(path) if writes and isinstance(path, str | bytes | os.PathLike) else ""

"""Where a run cannot write, it says so in one line, loses nothing that was finished, and can be resumed."""

import re
import resource
from functools import partial
from pathlib import Path

import pytest

from convblocks.run.directory import RunDirectory
from tests.hostile.bounded import run_bounded
from tests.hostile.faults import Fault, hit

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("fault", "every", "says"),
    [
        ("full disk", None, "No space left on device"),
        pytest.param("full disk", 1, "No space left on device", marks=pytest.mark.nightly),
        ("denied", 20, "Permission denied"),
        pytest.param("denied", 7, "Permission denied", marks=pytest.mark.nightly),
    ],
)
def test_at_a_file_operation(fault: Fault, every: int | None, says: str, folder: Path) -> None:
    failed = 0
    for ended in hit(folder, fault, every):
        if ended.returncode == 0:  # to make a folder that is there needs no room
            continue
        failed += 1
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr, ended.stderr
        assert says in ended.stderr
        assert ended.stderr.count("\n") == 1
    assert failed > (40 // every if every else 15)


def limit_files(size: int) -> None:
    """Let no file become larger, in bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_checkpoint_that_does_not_fit_on_the_disk(folder: Path) -> None:
    """No file may become larger than half a checkpoint."""
    run = RunDirectory("run", folder)
    before = {path.name: path.read_bytes() for path in run.last_checkpoint.parent.iterdir()}
    longer = ["--name", "run", "--resume", "--epochs", "3"]
    ended = run_bounded("fit", *longer, cwd=folder, prepare=partial(limit_files, len(before["last.ckpt"]) // 2))
    assert ended.returncode == 1
    assert re.fullmatch(r"fit.py: cannot write to \S+ \(File too large\); carry on with --resume\n", ended.stderr)
    assert {path.name: path.read_bytes() for path in run.last_checkpoint.parent.iterdir()} == before
    assert run_bounded("fit", *longer, cwd=folder).returncode == 0

"""Killed, or out of disk space, at any file operation: nothing finished is lost, and the resumed run is the same."""

import re
import subprocess
from functools import partial
from pathlib import Path

import pytest
import torch

from convblocks.runs.directory import RunDirectory
from tests.hostile.bounded import run_bounded
from tests.hostile.faults import Fault, inject, limit_files
from tests.training.test_fit import assert_same_weights, curves, metric_rows

RUN = ["--config", "short.yaml", "--arch", "mlp", "--name", "hit", "--resume"]


def fit(folder: Path, fault: Fault = "none", at: int = -1) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run or resume, with a fault at one of the run's file operations; also how many there were."""
    counter = folder.parent / "operations"
    prepare = partial(inject, fault, at, "lightning_logs/hit", counter)
    return run_bounded("fit", *RUN, cwd=folder, prepare=prepare), counter.stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "every"), [("kill", 1), ("full disk", 1), ("denied", 7)])
def test_at_every_file_operation(fault: Fault, every: int, folder: Path) -> None:
    at = failed = 0
    while True:
        ended, operations = fit(folder, fault, at)
        if operations <= at:
            break
        if fault == "kill":
            assert ended.returncode == -9
        elif ended.returncode != 0:  # to make a folder that is there needs no room
            assert "Traceback" not in ended.stderr, ended.stderr
            assert ended.returncode == 1
            assert {"full disk": "No space left on device", "denied": "Permission denied"}[fault] in ended.stderr
            assert ended.stderr.count("\n") == 1
            last = RunDirectory("hit", folder).last_checkpoint
            assert "checkpoint is intact" not in ended.stderr or last.is_file()
        failed += ended.returncode != 0
        assert_resumes_to_the_same_end(folder)
        at += every
    assert ended.returncode == 0
    assert failed * every > 40  # of the operations of a whole run


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_on_the_disk(folder: Path) -> None:
    """No file may become larger than half a checkpoint."""
    run = RunDirectory("run", folder)
    before = {path.name: path.read_bytes() for path in run.last_checkpoint.parent.iterdir()}
    longer = ["--name", "run", "--resume", "--epochs", "3"]
    ended = run_bounded("fit", *longer, cwd=folder, prepare=partial(limit_files, len(before["last.ckpt"]) // 2))
    assert ended.returncode == 1
    assert re.fullmatch(
        r"fit.py: cannot write to \S+ \(File too large\); its last checkpoint is intact: .*\n", ended.stderr
    )
    assert {path.name: path.read_bytes() for path in run.last_checkpoint.parent.iterdir()} == before
    assert run_bounded("fit", *longer, cwd=folder).returncode == 0


def assert_resumes_to_the_same_end(folder: Path) -> None:
    ended, _ = fit(folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    whole, hit = RunDirectory("run", folder), RunDirectory("hit", folder)
    assert_same_weights(whole, hit)
    best = [torch.load(run.best_checkpoint, weights_only=True)["state_dict"] for run in (whole, hit)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])
    assert metric_rows(whole) == metric_rows(hit)
    assert whole.read_result().final == hit.read_result().final
    assert curves(whole)["train/loss"] == curves(hit)["train/loss"]
    assert not list(hit.path.rglob(".*.tmp"))
    for path in sorted(hit.path.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    hit.path.rmdir()

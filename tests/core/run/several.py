"""Trains on several processes: torchrun runs this module in each of them, which trains one run after another."""

import json
import os
import signal
import sys
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from lightning import LightningModule

from convblocks.errors import Stopped
from convblocks.model.classifier import ImageClassifier
from convblocks.run import fit
from tests.any_task.stop import forget_signal
from tests.forked_python import python_path
from tests.quick_python import run_quickly

TORCHRUN = ["-m", "torch.distributed.run"]
COMMON = ["--threads", "1", "--trainer.accelerator", "cpu"]


class Run(NamedTuple):
    """A command line of fit.py, and the number of the step in which SIGTERM stops it, or 0."""

    arguments: list[str]
    stopped_in: int = 0


def on(processes: int, strategy: str = "ddp") -> list[str]:
    return ["--trainer.devices", str(processes), "--trainer.strategy", strategy if processes > 1 else "auto"]


def fit_on(processes: int, *runs: Run) -> str:
    """Train one run after another; returns the output of several processes."""
    if processes == 1:
        fit_all(runs)
        return ""
    launch = [*TORCHRUN, "--standalone", f"--nproc_per_node={processes}"]
    finished = run_quickly(*launch, "-m", __name__, json.dumps(runs), cwd=Path.cwd(), PYTHONPATH=python_path())
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout


def fit_all(runs: Iterable[Run]) -> None:
    for run in runs:
        with pytest.MonkeyPatch.context() as patch:
            stop_at(run.stopped_in, signal.SIGTERM, patch)
            try:
                fit.main(run.arguments)
                assert not run.stopped_in, "it was not stopped"
            except Stopped:
                assert run.stopped_in
        forget_signal()


def stop_at(step: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a signal come in the middle of a training step, to the last process."""
    steps = count(1)

    def send(module: LightningModule, *_: object) -> None:
        is_last = module.trainer.global_rank == module.trainer.world_size - 1
        if next(steps) == step and is_last:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(ImageClassifier, "on_before_zero_grad", send)


if __name__ == "__main__":
    fit_all(Run(*run) for run in json.loads(sys.argv[1]))

"""Trains on several processes: torchrun runs this module in each of them, which trains
one run after another.
"""

import json
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from convblocks.run import fit
from exact_resume.errors import Stopped
from tests.any_task.stop import Signal, forget_signal
from tests.forked_python import python_path
from tests.quick_python import run_quickly

TORCHRUN = ["-m", "torch.distributed.run"]
COMMON = ["--threads", "1", "--trainer.accelerator", "cpu"]


class Run(NamedTuple):
    """A command line of fit.py, the batch after which the last process receives a
    signal, or 0, and its number.
    """

    arguments: list[str]
    stopped_after: int = 0
    number: int = signal.SIGTERM


def on(processes: int, strategy: str = "ddp") -> list[str]:
    return [
        "--trainer.devices",
        str(processes),
        "--trainer.strategy",
        strategy if processes > 1 else "auto",
    ]


def fit_on(processes: int, *runs: Run) -> str:
    """Train one run after another; returns the output of several processes, which a kill ends."""
    if processes == 1:
        fit_all(runs)
        return ""
    launch = [*TORCHRUN, "--standalone", f"--nproc_per_node={processes}"]
    finished = run_quickly(
        *launch, "-m", __name__, json.dumps(runs), cwd=Path.cwd(), PYTHONPATH=python_path()
    )
    is_killed = runs[-1].number == signal.SIGKILL
    assert (finished.returncode != 0) == is_killed, finished.stderr[-3000:]
    return finished.stdout


def fit_all(runs: Iterable[Run]) -> None:
    for run in runs:
        try:
            fit.main(run.arguments, [Signal(run.stopped_after, run.number)])
            assert not run.stopped_after, "it was not stopped"
        except Stopped:
            assert run.stopped_after
        forget_signal()


if __name__ == "__main__":
    fit_all(Run(*run) for run in json.loads(sys.argv[1]))

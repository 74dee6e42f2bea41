"""What really happens to a run that is killed and resumed, beside what a check says."""

import multiprocessing
import os
import random
import signal
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from convblocks.errors import Stopped
from convblocks.run import fit
from convblocks.run.directory import RunDirectory
from tests.any_task.stop import Signal, forget_signal

# At each place.
KILLS = 7


class Crash(Callback):
    """Kills the process after a batch."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batches:
            os.kill(os.getpid(), signal.SIGKILL)


def survivors(options: Sequence[str], batches: int) -> dict[str, int]:
    """How many kills at each place of a check leave weights and metrics of two epochs as they were.

    Within an epoch they are signals, after which the run resumes where it was; at the end of the first epoch the
    process is killed in the second one, which begins again. Loaders that keep no position always begin an epoch again.

    Args:
        options: Of fit.
        batches: In an epoch.
    """
    draw, found = random.Random(0), dict[str, int]()
    options = [*options, "--epochs", "2"]
    _fit([*options, "--name", "whole"])
    expected = _end("whole")
    stops = {"within": (Signal, 0), "end": (Crash, batches), "later": (Signal, batches)}
    for place, (kind, before) in stops.items():
        names = [f"{place}_{number}" for number in range(KILLS)]
        for name in names:
            _fit([*options, "--name", name], [kind(before + draw.randint(1, batches - 1))])
            _fit([*options, "--name", name, "--resume"])
        found[place] = sum(_equal(_end(name), expected) for name in names)
    return found


def _fit(arguments: Sequence[str], callbacks: Sequence[Callback] = ()) -> None:
    """Train in a process of its own, which shares nothing with the next one."""
    process = multiprocessing.get_context("fork").Process(target=_train, args=(list(arguments), callbacks))
    process.start()
    process.join()


def _train(arguments: list[str], callbacks: Sequence[Callback]) -> None:
    warnings.simplefilter("ignore")
    forget_signal()
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), suppress(Stopped):
        fit.main(arguments, callbacks)
    os._exit(0)


def _end(name: str) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """The weights and the metrics with which a run has ended."""
    run = RunDirectory(name)
    weights = torch.load(run.last_checkpoint, weights_only=True)["state_dict"] if Path(run.summary).is_file() else {}
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in run.read_metrics()]
    return weights, rows


def _equal(one: tuple[dict[str, Any], Any], other: tuple[dict[str, Any], Any]) -> bool:
    (weights, rows), (others, other_rows) = one, other
    same = weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)
    return bool(weights) and same and rows == other_rows

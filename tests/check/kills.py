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

from convblocks.check.recorder import STEPS
from convblocks.errors import Stopped
from convblocks.run import fit
from convblocks.run.directory import RunDirectory
from tests.any_task.stop import Signal, forget_signal


class Crash(Callback):
    """Kills the process after a batch."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: Any) -> None:
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batches:
            os.kill(os.getpid(), signal.SIGKILL)


def survivors(options: Sequence[str], batches: int, kills: int = 20) -> tuple[int, int]:
    """How many of the kills within an epoch, and after one, leave weights and metrics of two epochs as they were.

    Half of them are signals within the first steps, after which the run resumes where it was; half kill the process
    in the first steps of the second epoch, which begins again. With loaders that keep no position both begin an epoch
    again.

    Args:
        options: Of fit.
        batches: In an epoch.
        kills: How many in all.
    """
    draw = random.Random(0)
    options = [*options, "--epochs", "2"]
    _fit([*options, "--name", "whole"])
    expected, found = _end("whole"), [0, 0]
    for number in range(kills):
        within, name = number % 2 == 0, f"killed_{number}"
        batch = draw.randint(1, 2 * STEPS - 1) if within else batches + draw.randint(1, STEPS)
        _fit([*options, "--name", name], [(Signal if within else Crash)(batch)])
        _fit([*options, "--name", name, "--resume"])
        found[not within] += _equal(_end(name), expected)
    return found[0], found[1]


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

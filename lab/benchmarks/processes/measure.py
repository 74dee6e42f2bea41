"""Training in several processes: this project's way, and the way of a usual Lightning project."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import DistributedSampler, TensorDataset

from convblocks.data.loader import Batch
from lab.benchmarks.harness import TakeTurn, Turns, in_turns
from lab.benchmarks.processes.communication import Recorder
from lab.benchmarks.rows import Row
from lab.benchmarks.training import ways
from lab.benchmarks.training.ways import (
    SEED,
    BarebonesClassifier,
    BareLoop,
    Stopwatch,
    train_in_turns,
)

Variant = Literal["fit", "plain"]


@dataclass(frozen=True)
class Case:
    """A way to train, and what it does in a turn: a few steps, and one batch of evaluation.

    Args:
        variant: The way.
        arch: The network's name.
        batch_size: Images per step, over all processes together.
        processes: How many train together, with one thread each.
        steps: Training steps.
    """

    variant: Variant
    arch: str
    batch_size: int
    processes: int
    steps: int

    def of_training(self) -> ways.Case:
        return ways.Case(
            "fit", self.arch, batch_size=self.batch_size, steps=self.steps, test_batches=1
        )


def fit(case: Case, stopwatch: Stopwatch) -> None:
    """``scripts/fit.py``."""
    strategy = "--trainer.strategy ddp" if case.processes > 1 else ""
    flags = (
        f"--threads 1 --trainer.enable_progress_bar false "
        f"--trainer.devices {case.processes} {strategy}"
    )
    ways.fit_project(case.of_training(), stopwatch, *flags.split())


class PlainClassifier(BarebonesClassifier):
    """The steps of the bare loop, and the loss logged at every one."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("train_loss", loss)
        return loss


def plain(case: Case, stopwatch: Stopwatch) -> None:
    """Lightning's Trainer with its default logger and checkpoints, and each process's
    share of images in memory.
    """
    loop = BareLoop(case.of_training())
    loader = loop.train_loader
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    images = TensorDataset(loader.images, loader.targets)
    sampler: DistributedSampler[tuple[Tensor, ...]] = DistributedSampler(
        images, case.processes, rank, seed=SEED
    )
    loader.order = torch.tensor(list(sampler))
    loader.batch_size = case.batch_size // case.processes
    train_in_turns(
        loop.case,
        stopwatch,
        PlainClassifier(loop),
        loader,
        loop.test_loader,
        devices=case.processes,
        strategy="ddp" if case.processes > 1 else "auto",
        use_distributed_sampler=False,  # it is there already
        enable_progress_bar=False,
    )


WAYS: dict[Variant, Callable[[Case, Stopwatch], None]] = {"fit": fit, "plain": plain}


def train(case: Case, record: bool, turns: Turns) -> None:
    """Take turns as long as there are any."""
    WAYS[case.variant](case, Recorder(turns, case.steps) if record else Stopwatch(turns))


def turns_of(case: Case, record: bool = False) -> AbstractContextManager[TakeTurn]:
    """Processes that train together whenever it is their turn."""
    return in_turns(1, train, case, record, ranks=case.processes)


def recorded(case: Case) -> list[Row]:
    """The seconds of a turn, and the collectives of the one before."""
    with turns_of(case, record=True) as take_turn:
        _, *collectives = take_turn()
        return [*take_turn(), *collectives]

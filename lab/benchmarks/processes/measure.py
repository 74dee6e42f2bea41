"""Training in several processes: this project's way, and the way of a usual Lightning project."""

import os
from contextlib import AbstractContextManager

from torch import Tensor

from convblocks.data.loader import Batch
from lab.benchmarks.harness import TakeTurn, Turns, in_turns
from lab.benchmarks.processes.communication import Recorder
from lab.benchmarks.rows import Row
from lab.benchmarks.training.ways import (
    BarebonesClassifier,
    BareLoop,
    Case,
    Stopwatch,
    fit_project,
    train_in_turns,
)


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
    loop = BareLoop(case)
    loader = loop.train_loader
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    loader.order = loader.order[rank :: case.processes]  # as torch's DistributedSampler does
    loader.batch_size = case.batch_size // case.processes
    train_in_turns(
        case,
        stopwatch,
        PlainClassifier(loop),
        loader,
        loop.test_loader,
        devices=case.processes,
        strategy="ddp" if case.processes > 1 else "auto",
        use_distributed_sampler=False,  # it is there already
        enable_progress_bar=False,
    )


WAYS = {"fit": fit_project, "plain": plain}


def train(case: Case, watch: type[Stopwatch], turns: Turns) -> None:
    """Take turns as long as there are any."""
    WAYS[case.variant](case, watch(turns, case))


def turns_of(case: Case, watch: type[Stopwatch] = Stopwatch) -> AbstractContextManager[TakeTurn]:
    """Processes that train together whenever it is their turn."""
    return in_turns(1, train, case, watch, ranks=case.processes)


def recorded(case: Case) -> list[Row]:
    """The seconds of a second turn, and the collectives of the first."""
    with turns_of(case, Recorder) as take_turn:
        take_turn()
        return take_turn()

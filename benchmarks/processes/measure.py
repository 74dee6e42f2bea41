"""Training in several processes: this project's way, and the way of a usual Lightning project."""

import os
import tempfile
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import Literal

import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DistributedSampler, TensorDataset

from benchmarks.processes.communication import Collective, Recorder
from benchmarks.rows import Row
from benchmarks.training import ways
from benchmarks.training.ways import SEED, BarebonesClassifier, BareLoop, Stopwatch, add_hooks, fit_command
from convblocks.data.loader import Batch
from convblocks.model.classifier import ImageClassifier
from convblocks.model.distributed import end_process_group
from convblocks.training.fork import discard_output, imported

Variant = Literal["fit", "plain"]

# The first is not timed.
EPOCHS = 2


@dataclass(frozen=True)
class Case:
    """Two epochs of a few steps and one batch of evaluation.

    Args:
        variant: The way to train.
        arch: The network's name.
        batch_size: Images per step, over all processes together.
        processes: How many train together, with one thread each.
        steps: Training steps of each epoch.
    """

    variant: Variant
    arch: str
    batch_size: int
    processes: int
    steps: int


def fit(case: Case) -> None:
    """``scripts/fit.py``."""
    several = ["--trainer.strategy", "ddp"] if case.processes > 1 else []
    fit_command(
        ways.Case("fit", case.arch, batch_size=case.batch_size),
        case.steps,
        "measured",
        *["--epochs", str(EPOCHS), "--threads", "1", "--trainer.limit_val_batches", "1"],
        *["--trainer.devices", str(case.processes), *several],
    )


class PlainClassifier(BarebonesClassifier):
    """The steps of the bare loop, and the loss logged at every one."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("train_loss", loss)
        return loss


def plain(case: Case) -> None:
    """Lightning's Trainer with its default logger and checkpoints, and each process's share of images in memory."""
    loop = BareLoop(ways.Case("bare", case.arch))
    trainer = Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=case.processes,
        strategy="ddp" if case.processes > 1 else "auto",
        limit_train_batches=case.steps,
        limit_val_batches=1,
        use_distributed_sampler=False,  # it is there already
        enable_progress_bar=False,  # no more than fit.py has without a terminal
    )
    loader = loop.train_loader
    images = TensorDataset(loader.images, loader.targets)
    sampler: DistributedSampler[tuple[Tensor, ...]] = DistributedSampler(
        images, case.processes, trainer.global_rank, seed=SEED
    )
    loader.order, loader.batch_size = torch.tensor(list(sampler)), case.batch_size // case.processes
    trainer.fit(PlainClassifier(loop), loader, loop.test_loader)


VARIANTS = {"fit": (fit, ImageClassifier), "plain": (plain, PlainClassifier)}


@dataclass(frozen=True)
class Measurement:
    """The seconds of the timed epoch's steps, and the collectives of a step, where these were recorded."""

    seconds: float
    collectives: list[Collective]

    def rows(self) -> list[Row]:
        recorded = [
            Row({"part": "collective", "operation": one.operation, "size": one.size}, {"per_step": one.per_step})
            for one in self.collectives
        ]
        return [Row({}, {"seconds": self.seconds}), *recorded]


def measure(case: Case, record: bool = False) -> Measurement:
    """Train in processes that have done their imports, in an empty folder; the first of them reports."""
    context = imported(measure)
    port = find_free_network_port()
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(case.processes, mp_context=context) as pool:
        ranks = [pool.submit(_measure_here, case, rank, port, Path(folder), record) for rank in range(case.processes)]
        done, waiting = wait(ranks, return_when=FIRST_EXCEPTION)
        if waiting:  # for one that has failed; they would give up after half an hour
            for process in active_children():
                process.kill()
        for rank in done:
            rank.result()
        return ranks[0].result()


def _measure_here(case: Case, rank: int, port: int, folder: Path, record: bool) -> Measurement:
    torch.set_num_threads(1)
    discard_output(as_terminal=False)
    if case.processes > 1:  # as Lightning sets it in the processes that it starts itself
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": 0}
        environment = address | {"WORLD_SIZE": case.processes, "LOCAL_RANK": rank}
        os.environ |= {name: str(value) for name, value in environment.items()}
    os.chdir(folder)
    train, module = VARIANTS[case.variant]
    stopwatch, recorder = Stopwatch(), Recorder(case.steps)
    add_hooks(module, stopwatch)
    if record and rank == 0:
        add_hooks(module, recorder)
    train(case)
    end_process_group()
    return Measurement(stopwatch.seconds()["training"], recorder.collectives or [])

"""Training in several processes: this project's way, and the way of a usual Lightning project."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DistributedSampler, TensorDataset

from benchmarks.processes.communication import Recorder
from benchmarks.training import case as training
from benchmarks.training.case import SEED, Stopwatch
from benchmarks.training.loops import BareLoop
from benchmarks.training.projects import BarebonesClassifier, fit_command, note_times
from convblocks.data.loader import Batch
from convblocks.model.classifier import DigitClassifier

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


def fit(case: Case, stopwatch: Stopwatch, recorder: Recorder | None) -> None:
    """``scripts/fit.py``."""
    note_times(DigitClassifier, stopwatch)
    _record(DigitClassifier, recorder)
    several = ["--trainer.strategy", "ddp"] if case.processes > 1 else []
    fit_command(
        training.Case("fit", case.arch, batch_size=case.batch_size),
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


def plain(case: Case, stopwatch: Stopwatch, recorder: Recorder | None) -> None:
    """Lightning's Trainer with its default logger and checkpoints, and each process's share of images in memory."""
    note_times(PlainClassifier, stopwatch)
    _record(PlainClassifier, recorder)
    loop = BareLoop(training.Case("bare", case.arch))
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


def _record(module: type[LightningModule], recorder: Recorder | None) -> None:
    if recorder is None:
        return

    def on_train_batch_start(self: LightningModule, batch: Any, batch_idx: int) -> None:
        recorder.on_train_batch_start(self.current_epoch, batch_idx)

    setattr(module, on_train_batch_start.__name__, on_train_batch_start)

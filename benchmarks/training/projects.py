"""Training with Lightning: the way a project is usually written, and this one."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam, Optimizer
from torchmetrics.classification import MulticlassAccuracy

from benchmarks.training.case import LEARNING_RATE, SEED, Case, Stopwatch, Timing
from benchmarks.training.loops import BareLoop, image_loaders
from convblocks.data.images import MNIST
from convblocks.data.loader import Batch
from convblocks.model.classifier import DigitClassifier
from convblocks.runs.directory import RunDirectory
from convblocks.training import fit


class PlainClassifier(Stopwatch, LightningModule):
    """Loss and accuracy logged at every step, as Lightning's own examples do."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.network = case.network()
        self.train_accuracy = MulticlassAccuracy(len(MNIST.classes), average="micro")
        self.val_accuracy = MulticlassAccuracy(len(MNIST.classes), average="micro")

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = batch
        logits = self(images)
        loss = functional.cross_entropy(logits, targets)
        self.train_accuracy(logits, targets)
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_acc", self.train_accuracy, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, targets = batch
        logits = self(images)
        self.val_accuracy(logits, targets)
        self.log("val_loss", functional.cross_entropy(logits, targets), prog_bar=True)
        self.log("val_acc", self.val_accuracy, prog_bar=True)

    def configure_optimizers(self) -> Optimizer:
        return Adam(self.parameters(), lr=LEARNING_RATE)


def lightning_plain(case: Case) -> Timing:
    """The course's loaders, and a Trainer with its default bar, logger and checkpoints."""
    train_loader, test_loader = image_loaders(case)
    module = PlainClassifier(case)
    for steps in (case.warm_up_steps, case.steps):
        trainer = Trainer(
            max_epochs=1,
            accelerator="cpu",
            precision=case.precision,
            limit_train_batches=steps,
            limit_val_batches=case.steps,
        )
        trainer.fit(module, train_loader, test_loader)
    return module.timing()


class BarebonesClassifier(Stopwatch, LightningModule):
    """The steps of the bare loop, and nothing else."""

    def __init__(self, loop: BareLoop) -> None:
        super().__init__()
        self.network = loop.network
        self.optimizer = loop.optimizer

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = batch
        return functional.cross_entropy(self.network(images), targets)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, targets = batch
        (self.network(images).argmax(dim=1) == targets).sum()

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer


def barebones(case: Case) -> Timing:
    """The bare loop's steps in a Trainer with everything off that can be: no bar, logs, checkpoints, or metrics."""
    loop = BareLoop(case)
    module = BarebonesClassifier(loop)
    for steps in (case.warm_up_steps, case.steps):
        trainer = Trainer(
            barebones=True,
            max_epochs=1,
            accelerator="cpu",
            precision=case.precision,
            limit_train_batches=steps,
            limit_val_batches=case.steps,
        )
        trainer.fit(module, loop.train_loader, loop.test_loader)
    return module.timing()


def fit_command(case: Case, steps: int | None, name: str, *flags: str) -> RunDirectory:
    """Train as ``scripts/fit.py`` does, everything on, and return the run's directory; flags of one's own win."""
    arguments = [
        *["--arch", case.arch, "--name", name, "--epochs", "1", "--seed", str(SEED)],
        *["--batch_size", str(case.batch_size), "--lr", str(LEARNING_RATE)],
        *["--trainer.accelerator", "cpu", "--trainer.precision", case.precision],
    ]
    for images, batches in (("train", steps), ("val", case.steps)):
        if batches is not None:
            arguments += [f"--trainer.limit_{images}_batches", str(batches)]
    fit.main([*arguments, *flags])
    return RunDirectory(name)


def note_times(module: type[LightningModule], stopwatch: Stopwatch) -> None:
    """Let a class of modules call the stopwatch's hooks."""
    hooks: dict[str, Any] = {
        "on_train_epoch_start": lambda self: stopwatch.on_train_epoch_start(),
        "on_validation_start": lambda self: stopwatch.on_validation_start(),
        "on_train_end": lambda self: stopwatch.on_train_end(),
    }
    for name, hook in hooks.items():
        setattr(module, name, hook)


def fit_project(case: Case) -> Timing:
    """This project's own command, with hooks that note the times of its epoch."""
    stopwatch = Stopwatch()
    note_times(DigitClassifier, stopwatch)
    fit_command(case, case.warm_up_steps, "warm-up")
    fit_command(case, case.steps, "measured")
    return stopwatch.timing()

"""Five ways to train the same network for an epoch, each of which reports its seconds."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Normalize, ToTensor

from benchmarks.rows import Values
from convblocks.data import mnist
from convblocks.data.images import MNIST as MNIST_SPEC
from convblocks.data.images import LabelledImages
from convblocks.data.loader import Batch, epoch_generator
from convblocks.model.classifier import ImageClassifier
from convblocks.model.networks import ARCHITECTURES, build_network
from convblocks.runs.directory import RunDirectory
from convblocks.training import fit
from convblocks.training.fast import keep_freed_memory

Variant = Literal["notebook", "lightning-plain", "bare", "barebones", "fit"]

# The variants that load and transform image by image.
LOADING_IMAGES: tuple[Variant, ...] = ("notebook", "lightning-plain")
Precision = Literal["32-true", "bf16-mixed"]
PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed")

LEARNING_RATE = 1e-2
EVAL_BATCH_SIZE = 1000
SEED = 0

# Training steps before the clock starts, in every variant.
WARM_UP_STEPS = 100


@dataclass(frozen=True)
class Case:
    """One epoch of training and its evaluation.

    Args:
        variant: The way to train.
        arch: The network's name.
        precision: As Lightning calls it.
        batch_size: Images per step.
        workers: Processes that load images, for the variants of ``LOADING_IMAGES``.
        steps: Training steps of the epoch, and batches of its evaluation at most; None for all.
    """

    variant: Variant
    arch: str
    precision: Precision = "32-true"
    batch_size: int = 64
    workers: int = 0
    steps: int | None = None

    @property
    def warm_up_steps(self) -> int:
        return WARM_UP_STEPS if self.steps is None else min(self.steps, WARM_UP_STEPS)

    def network(self) -> nn.Module:
        """A fresh network, with the weights that ``fit.py --seed 0`` begins with."""
        torch.manual_seed(SEED)
        return ARCHITECTURES[self.arch]()

    def autocast(self) -> torch.autocast:
        """bf16-mixed outside Lightning; does nothing for 32-true."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16-mixed")


class Stopwatch:
    """Hooks of a LightningModule that note when its last epoch began, was trained, and was over.

    They are called once an epoch, so that they cost the measured loop nothing.
    """

    def on_train_epoch_start(self) -> None:
        self.began = time.perf_counter()

    def on_validation_start(self) -> None:
        self.trained = time.perf_counter()

    def on_train_end(self) -> None:
        self.ended = time.perf_counter()

    def seconds(self) -> Values:
        """Of the epoch's training steps, and of all else in it: evaluation, logs, checkpoint."""
        return timing(self.began, self.trained, self.ended)


def timing(began: float, trained: float, ended: float) -> Values:
    return {"training": trained - began, "evaluation": ended - trained, "epoch": ended - began}


def image_loaders(case: Case) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """The course's loaders for training and test images: each image is transformed on its own."""
    transform = Compose([ToTensor(), Normalize(MNIST_SPEC.mean, MNIST_SPEC.std)])
    train, test = (MNIST(mnist.DEFAULT_ROOT, train=train, transform=transform) for train in (True, False))
    return (
        DataLoader(train, batch_size=case.batch_size, shuffle=True, num_workers=case.workers),
        DataLoader(test, batch_size=EVAL_BATCH_SIZE, num_workers=case.workers),
    )


def notebook(case: Case) -> Values:
    """The course's loop: loss and predictions are fetched as Python numbers at every step."""
    train_loader, test_loader = image_loaders(case)
    network = case.network()
    criterion = nn.CrossEntropyLoss()
    optimizer = Adam(network.parameters(), lr=LEARNING_RATE)

    def passed(batches: Iterable[Batch], is_training: bool) -> None:
        network.train(is_training)
        losses, predictions, truth = [], [], []
        for images, targets in batches:
            if is_training:
                optimizer.zero_grad()
            with case.autocast():
                outputs = network(images)
                loss = criterion(outputs, targets)
            if is_training:
                loss.backward()
                optimizer.step()
            losses.append(loss.item())
            predictions += outputs.argmax(dim=1).tolist()
            truth += targets.tolist()

    passed(islice(train_loader, case.warm_up_steps), is_training=True)
    began = time.perf_counter()
    passed(islice(train_loader, case.steps), is_training=True)
    trained = time.perf_counter()
    with torch.no_grad():
        passed(islice(test_loader, case.steps), is_training=False)
    return timing(began, trained, time.perf_counter())


class NormalisedLoader:
    """Batches of images that were normalised once, all of them: one index operation each."""

    def __init__(self, digits: LabelledImages, order: Tensor, batch_size: int) -> None:
        self.images, self.targets = MNIST_SPEC.normalize(digits.images), digits.labels
        self.order, self.batch_size = order, batch_size

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for indices in self.order.split(self.batch_size):
            yield self.images.index_select(0, indices), self.targets.index_select(0, indices)


class BareLoop:
    """Normalised images in memory, channels last, fused Adam; no framework, no metrics of training, no logs."""

    def __init__(self, case: Case) -> None:
        keep_freed_memory()
        self.case = case
        files = mnist.load(mnist.DEFAULT_ROOT)
        # The order of the first epoch of ``fit.py --seed 0``.
        order = torch.randperm(len(files.train.labels), generator=epoch_generator(SEED, 0))
        self.train_loader = NormalisedLoader(files.train, order, case.batch_size)
        self.test_loader = NormalisedLoader(files.test, torch.arange(len(files.test.labels)), EVAL_BATCH_SIZE)
        torch.manual_seed(SEED)
        self.network = build_network(case.arch)
        self.optimizer = Adam(self.network.parameters(), lr=LEARNING_RATE, fused=True)

    def train(self, steps: int | None) -> None:
        self.network.train()
        for images, targets in islice(self.train_loader, steps):
            self.optimizer.zero_grad()
            with self.case.autocast():
                loss = functional.cross_entropy(self.network(images), targets)
            loss.backward()
            self.optimizer.step()

    @torch.inference_mode()
    def evaluate(self) -> float:
        self.network.eval()
        correct, seen = torch.tensor(0), 0
        for images, targets in islice(self.test_loader, self.case.steps):
            with self.case.autocast():
                correct += (self.network(images).argmax(dim=1) == targets).sum()
            seen += len(targets)
        return correct.item() / seen


def bare(case: Case) -> Values:
    """A loop of torch with nothing around it."""
    loop = BareLoop(case)
    loop.train(case.warm_up_steps)
    began = time.perf_counter()
    loop.train(case.steps)
    trained = time.perf_counter()
    loop.evaluate()
    return timing(began, trained, time.perf_counter())


class PlainClassifier(Stopwatch, LightningModule):
    """Loss and accuracy logged at every step, as Lightning's own examples do."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.network = case.network()
        self.train_accuracy = MulticlassAccuracy(len(MNIST_SPEC.classes), average="micro")
        self.val_accuracy = MulticlassAccuracy(len(MNIST_SPEC.classes), average="micro")

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


def lightning_plain(case: Case) -> Values:
    """The course's loaders, and a Trainer with its default bar, logger and checkpoints."""
    return train_twice(case, PlainClassifier(case), *image_loaders(case))


def train_twice(case: Case, module: Any, train: Iterable[Batch], test: Iterable[Batch], **settings: Any) -> Values:
    """First the steps that are not timed."""
    for steps in (case.warm_up_steps, case.steps):
        trainer = Trainer(
            max_epochs=1,
            accelerator="cpu",
            precision=case.precision,
            limit_train_batches=steps,
            limit_val_batches=case.steps,
            **settings,
        )
        trainer.fit(module, train, test)
    seconds: Values = module.seconds()
    return seconds


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


def barebones(case: Case) -> Values:
    """The bare loop's steps in a Trainer with everything off that can be: no bar, logs, checkpoints, or metrics."""
    loop = BareLoop(case)
    return train_twice(case, BarebonesClassifier(loop), loop.train_loader, loop.test_loader, barebones=True)


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


def add_hooks(module: type[LightningModule], hooks: object) -> None:
    """Let a class of modules call another object's hooks."""
    for name in dir(hooks):
        if name.startswith("on_"):
            setattr(module, name, getattr(hooks, name))


def fit_project(case: Case) -> Values:
    """This project's own command, with hooks that note the times of its epoch."""
    stopwatch = Stopwatch()
    add_hooks(ImageClassifier, stopwatch)
    fit_command(case, case.warm_up_steps, "warm-up")
    fit_command(case, case.steps, "measured")
    return stopwatch.seconds()


WAYS: dict[Variant, Callable[[Case], Values]] = {
    "notebook": notebook,
    "lightning-plain": lightning_plain,
    "bare": bare,
    "barebones": barebones,
    "fit": fit_project,
}

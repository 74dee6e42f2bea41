"""Ways to train the same network, each of which takes its turns: some training steps
and an evaluation.
"""

import resource
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
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

from convblocks.data.images import MNIST as MNIST_SPEC
from convblocks.data.images import LabelledImages
from convblocks.data.loader import Batch, epoch_generator
from convblocks.data.mnist import DEFAULT_ROOT, MNISTFiles
from convblocks.fast.lightning import keep_freed_memory
from convblocks.model.classifier import ImageClassifier
from convblocks.model.networks import ARCHITECTURES, build_network
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from lab.benchmarks.harness import Turns
from lab.benchmarks.rows import Row, single_row

Precision = Literal["32-true", "bf16-mixed"]
PRECISIONS: tuple[Precision, ...] = ("32-true", "bf16-mixed")

# The ways that load and transform image by image.
LOADING_IMAGES = ("notebook", "lightning-plain")

LEARNING_RATE = 1e-2
BATCH_SIZE = 64
EVAL_BATCH_SIZE = 1000

# Of that batch size and MNIST's 60,000 training images.
EPOCH_STEPS = 938

SEED = 0


@dataclass(frozen=True)
class Case:
    """A way to train, and what it does in a turn.

    Args:
        variant: The way; behind ``fit`` it may have options.
        arch: The network's name.
        precision: As Lightning calls it.
        batch_size: Images per step.
        workers: Processes that load images, for the ways of ``LOADING_IMAGES``.
        steps: Training steps.
        test_batches: Batches of the evaluation; None for all.
        processes: How many train together, with one thread each and no progress bar; 0
            for one with all threads.
    """

    variant: str
    arch: str
    precision: Precision = "32-true"
    batch_size: int = BATCH_SIZE
    workers: int = 0
    steps: int | None = None
    test_batches: int | None = 1
    processes: int = 0

    def network(self) -> nn.Module:
        """A fresh network, with the weights that ``fit.py --seed 0`` begins with."""
        torch.manual_seed(SEED)
        return ARCHITECTURES[self.arch]()

    def autocast(self) -> torch.autocast:
        """bf16-mixed outside Lightning; does nothing for 32-true."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16-mixed")


class Stopwatch:
    """Reports the seconds of a turn's training steps, and of all that follows until the
    next turn.

    Also the memory, in bytes: by how much this process has grown at most.

    It has the names of a LightningModule's hooks, for a Trainer whose epochs are turns.
    They are called once an epoch, so that they cost the measured loop nothing.
    """

    def __init__(self, turns: Turns, case: Case) -> None:
        self.turns = turns
        self.steps = case.steps
        self.began = 0.0
        self.size = peak_memory()

    def on_train_epoch_start(self) -> None:
        """Begin a turn, and end the one before."""
        if self.began:
            self.turns.send(self.rows())
        self.turns.recv()
        self.began = time.perf_counter()

    def on_validation_start(self) -> None:
        self.trained = time.perf_counter()

    def rows(self) -> list[Row]:
        """What is reported of a turn when the next begins."""
        training = self.trained - self.began
        evaluation = time.perf_counter() - self.trained
        values = {
            "training": training,
            "evaluation": evaluation,
            "memory": peak_memory() - self.size,
        }
        if self.steps:
            step = training / self.steps
            values |= {"step": step, "epoch": step * EPOCH_STEPS + evaluation}
        return single_row(**values)


def peak_memory() -> int:
    """The largest size that this process has had, in bytes."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        return size
    return size * 1024  # kilobytes on Linux


def image_loaders(case: Case) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """The course's loaders for training and test images: each image is transformed on its own."""
    transform = Compose([ToTensor(), Normalize(MNIST_SPEC.mean, MNIST_SPEC.std)])
    # Torchvision reads only unpacked files: this unpacks them where nothing has.
    train = MNIST(DEFAULT_ROOT, True, transform, download=True)
    test = MNIST(DEFAULT_ROOT, False, transform, download=True)
    # Of a short epoch the start of the workers would be a larger part than of a whole one.
    loader = partial(
        DataLoader[Batch], num_workers=case.workers, persistent_workers=case.workers > 0
    )
    return (
        loader(train, batch_size=case.batch_size, shuffle=True),
        loader(test, batch_size=EVAL_BATCH_SIZE),
    )


def notebook(case: Case, stopwatch: Stopwatch) -> None:
    """The course's loop: loss and predictions are fetched as Python numbers at every step."""
    train_loader, test_loader = image_loaders(case)
    network = case.network()
    criterion = nn.CrossEntropyLoss()
    optimizer = Adam(network.parameters(), lr=LEARNING_RATE)

    def passed(batches: Iterable[Batch], is_training: bool) -> None:
        network.train(is_training)
        losses = []
        predictions = []
        truth = []
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

    while True:
        stopwatch.on_train_epoch_start()
        passed(islice(train_loader, case.steps), is_training=True)
        stopwatch.on_validation_start()
        with torch.no_grad():
            passed(islice(test_loader, case.test_batches), is_training=False)


class NormalisedLoader:
    """Batches of images that were normalised once, all of them: one index operation each."""

    def __init__(self, digits: LabelledImages, order: Tensor, batch_size: int) -> None:
        self.images = MNIST_SPEC.normalize(digits.images)
        self.targets = digits.labels
        self.order = order
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for indices in self.order.split(self.batch_size):
            images = self.images.index_select(0, indices)
            yield images, self.targets.index_select(0, indices)


class BareLoop:
    """Normalised images in memory, channels last, fused Adam; no framework, no metrics
    of training, no logs.
    """

    def __init__(self, case: Case, network: nn.Module | None = None) -> None:
        keep_freed_memory()
        self.case = case
        files = MNISTFiles(DEFAULT_ROOT).load()
        # The order of the first epoch of ``fit.py --seed 0``.
        order = torch.randperm(len(files.train), generator=epoch_generator(SEED, 0))
        self.train_loader = NormalisedLoader(files.train, order, case.batch_size)
        in_order = torch.arange(len(files.test))
        self.test_loader = NormalisedLoader(files.test, in_order, EVAL_BATCH_SIZE)
        torch.manual_seed(SEED)
        self.network = network or build_network(case.arch)
        self.optimizer = Adam(self.network.parameters(), lr=LEARNING_RATE, fused=True)

    def train(self, batches: Iterable[Batch]) -> None:
        self.network.train()
        for images, targets in batches:
            self.optimizer.zero_grad()
            with self.case.autocast():
                loss = functional.cross_entropy(self.network(images), targets)
            loss.backward()
            self.optimizer.step()

    @torch.inference_mode()
    def evaluate(self) -> None:
        self.network.eval()
        correct = torch.tensor(0)
        for images, targets in islice(self.test_loader, self.case.test_batches):
            with self.case.autocast():
                correct += (self.network(images).argmax(dim=1) == targets).sum()


def bare(case: Case, stopwatch: Stopwatch) -> None:
    """A loop of torch with nothing around it."""
    take_turns(BareLoop(case), stopwatch)


def compiled(case: Case, stopwatch: Stopwatch) -> None:
    """The same loop with the network compiled."""
    loop = BareLoop(case)
    loop.network.compile()
    take_turns(loop, stopwatch)


def take_turns(loop: BareLoop, stopwatch: Stopwatch) -> None:
    while True:
        stopwatch.on_train_epoch_start()
        loop.train(islice(loop.train_loader, loop.case.steps))
        stopwatch.on_validation_start()
        loop.evaluate()


class PlainClassifier(LightningModule):
    """Loss and accuracy logged at every step, as Lightning's own examples do."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.network = case.network()
        self.train_accuracy = MulticlassAccuracy(len(MNIST_SPEC.classes), average="micro")
        self.val_accuracy = self.train_accuracy.clone()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = batch
        logits = self.network(images)
        loss: Tensor = functional.cross_entropy(logits, targets)
        self.train_accuracy(logits, targets)
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_acc", self.train_accuracy, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, targets = batch
        logits = self.network(images)
        self.val_accuracy(logits, targets)
        self.log("val_loss", functional.cross_entropy(logits, targets), prog_bar=True)
        self.log("val_acc", self.val_accuracy, prog_bar=True)

    def configure_optimizers(self) -> Optimizer:
        return Adam(self.parameters(), lr=LEARNING_RATE)


def lightning_plain(case: Case, stopwatch: Stopwatch) -> None:
    """The course's loaders, and a Trainer with its default bar, logger and checkpoints."""
    train_in_turns(case, stopwatch, PlainClassifier(case), *image_loaders(case))


def train_in_turns(
    case: Case,
    stopwatch: Stopwatch,
    module: LightningModule,
    train: Iterable[Batch],
    test: Iterable[Batch],
    **settings: Any,
) -> None:
    """A Trainer whose epochs are turns."""
    add_hooks(type(module), stopwatch)
    trainer = Trainer(
        max_epochs=-1,
        accelerator="cpu",
        precision=case.precision,
        limit_train_batches=case.steps,
        limit_val_batches=case.test_batches,
        **settings,
    )
    trainer.fit(module, train, test)


class BarebonesClassifier(LightningModule):
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


def barebones(case: Case, stopwatch: Stopwatch) -> None:
    """The bare loop's steps in a Trainer with everything off that can be: no bar, logs,
    checkpoints, or metrics.
    """
    loop = BareLoop(case)
    module = BarebonesClassifier(loop)
    train_in_turns(case, stopwatch, module, loop.train_loader, loop.test_loader, barebones=True)


def fit_command(case: Case, name: str, *flags: str) -> RunDirectory:
    """Train as ``scripts/fit.py`` does, everything on, and return the run's directory;
    flags of one's own win.
    """
    command = f"""
        --arch {case.arch} --name {name} --epochs 1 --seed {SEED}
        --batch_size {case.batch_size} --lr {LEARNING_RATE}
        --trainer.accelerator cpu --trainer.precision {case.precision}
    """
    if case.steps is not None:
        command += f" --trainer.limit_train_batches {case.steps}"
    if case.test_batches is not None:
        command += f" --trainer.limit_val_batches {case.test_batches}"
    if case.processes:
        strategy = "ddp" if case.processes > 1 else "auto"
        command += f"""
            --threads 1 --trainer.enable_progress_bar false
            --trainer.devices {case.processes} --trainer.strategy {strategy}
        """
    fit.main([*command.split(), *flags])
    return RunDirectory(name)


def add_hooks(module: type[LightningModule], hooks: object) -> None:
    """Let a class of modules call another object's hooks."""
    for name in dir(hooks):
        if name.startswith("on_"):
            setattr(module, name, getattr(hooks, name))


def fit_project(case: Case, stopwatch: Stopwatch) -> None:
    """This project's own command, with hooks that note the times of its epochs."""
    add_hooks(ImageClassifier, stopwatch)
    _, *flags = shlex.split(case.variant)
    fit_command(case, "measured", "--epochs=1000", *flags)  # more than there are turns


WAYS = {
    "notebook": notebook,
    "lightning-plain": lightning_plain,
    "bare": bare,
    "barebones": barebones,
    "fit": fit_project,
    "torch.compile": compiled,
}


def train(case: Case, turns: Turns, watch: type[Stopwatch] = Stopwatch) -> None:
    """Take turns as long as there are any."""
    WAYS[case.variant.split()[0]](case, watch(turns, case))

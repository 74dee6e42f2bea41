"""Training in plain torch: the course's loop as it is written, and the fastest one found."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Normalize, ToTensor

from benchmarks.training.case import EVAL_BATCH_SIZE, LEARNING_RATE, SEED, Case, Timing
from convblocks.data import mnist
from convblocks.data.images import MNIST as MNIST_SPEC
from convblocks.data.images import LabelledImages
from convblocks.data.loader import Batch, epoch_generator
from convblocks.model.networks import build_network
from convblocks.training.fast import keep_freed_memory


def image_loaders(case: Case) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """The course's loaders for training and test images: each image is transformed on its own."""
    transform = Compose([ToTensor(), Normalize(MNIST_SPEC.mean, MNIST_SPEC.std)])
    train, test = (MNIST(mnist.DEFAULT_ROOT, train=train, transform=transform) for train in (True, False))
    return (
        DataLoader(train, batch_size=case.batch_size, shuffle=True, num_workers=case.workers),
        DataLoader(test, batch_size=EVAL_BATCH_SIZE, num_workers=case.workers),
    )


def notebook(case: Case) -> Timing:
    """The course's loop: loss and predictions are fetched as Python numbers at every step."""
    train_loader, test_loader = image_loaders(case)
    network = case.network()
    criterion = nn.CrossEntropyLoss()
    optimizer = Adam(network.parameters(), lr=LEARNING_RATE)

    def train(batches: Iterable[Batch]) -> None:
        network.train()
        losses, predictions, truth = [], [], []
        for images, targets in batches:
            optimizer.zero_grad()
            with case.autocast():
                outputs = network(images)
                loss = criterion(outputs, targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            predictions += outputs.argmax(dim=1).tolist()
            truth += targets.tolist()

    @torch.no_grad()
    def evaluate() -> None:
        network.eval()
        losses, predictions, truth = [], [], []
        for images, targets in islice(test_loader, case.steps):
            with case.autocast():
                outputs = network(images)
                losses.append(criterion(outputs, targets).item())
            predictions += outputs.argmax(dim=1).tolist()
            truth += targets.tolist()

    train(islice(train_loader, case.warm_up_steps))
    began = time.perf_counter()
    train(islice(train_loader, case.steps))
    trained = time.perf_counter()
    evaluate()
    return Timing(trained - began, time.perf_counter() - trained)


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


def bare(case: Case) -> Timing:
    """A loop of torch with nothing around it."""
    loop = BareLoop(case)
    loop.train(case.warm_up_steps)
    began = time.perf_counter()
    loop.train(case.steps)
    trained = time.perf_counter()
    loop.evaluate()
    return Timing(trained - began, time.perf_counter() - trained)

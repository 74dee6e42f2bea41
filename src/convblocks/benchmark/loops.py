"""Training in plain torch: the course's loop as it is written, and the fastest one found."""

import time
from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Normalize, ToTensor

from convblocks import mnist
from convblocks.benchmark.case import EVAL_BATCH_SIZE, LEARNING_RATE, SEED, Case, Timing
from convblocks.data import MEAN, STD, normalize
from convblocks.memory import keep_freed_memory
from convblocks.mnist import Digits
from convblocks.networks import build_network
from convblocks.sampling import BatchSampler

Batch = tuple[Tensor, Tensor]


def image_loaders(case: Case) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """The course's loaders for training and test images: each image is transformed on its own."""
    transform = Compose([ToTensor(), Normalize((MEAN,), (STD,))])
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
        for images, targets in test_loader:
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


class BareLoop:
    """Normalised images in memory, channels last, fused Adam; no framework, no metrics of training, no logs."""

    def __init__(self, case: Case) -> None:
        keep_freed_memory()
        self.case = case
        files = mnist.load(mnist.DEFAULT_ROOT)
        self.train_images, self.train_labels = normalized(files.train)
        self.test_images, self.test_labels = normalized(files.test)
        torch.manual_seed(SEED)
        self.network = build_network(case.arch)
        self.optimizer = Adam(self.network.parameters(), lr=LEARNING_RATE, fused=True)

    def train(self, steps: int | None) -> None:
        self.network.train()
        for indices in islice(self.sampler(), steps):
            self.optimizer.zero_grad()
            with self.case.autocast():
                logits = self.network(self.train_images.index_select(0, indices))
                loss = functional.cross_entropy(logits, self.train_labels.index_select(0, indices))
            loss.backward()
            self.optimizer.step()

    @torch.inference_mode()
    def evaluate(self) -> float:
        self.network.eval()
        correct = torch.tensor(0)
        batches = zip(self.test_images.split(EVAL_BATCH_SIZE), self.test_labels.split(EVAL_BATCH_SIZE), strict=True)
        for images, targets in batches:
            with self.case.autocast():
                correct += (self.network(images).argmax(dim=1) == targets).sum()
        return correct.item() / len(self.test_labels)

    def sampler(self) -> BatchSampler:
        """Indices in the order of the first epoch of ``fit.py --seed 0``."""
        return BatchSampler(len(self.train_labels), self.case.batch_size, shuffle=True, seed=SEED)


def normalized(digits: Digits) -> Batch:
    """Images (N, 1, 28, 28) float32 and labels (N,)."""
    return normalize(digits.images), digits.labels


def bare(case: Case) -> Timing:
    """The fastest loop found."""
    loop = BareLoop(case)
    loop.train(case.warm_up_steps)
    began = time.perf_counter()
    loop.train(case.steps)
    trained = time.perf_counter()
    loop.evaluate()
    return Timing(trained - began, time.perf_counter() - trained)

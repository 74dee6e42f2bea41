"""Epochs on pictures and the steps of the network alone, and how long files take into memory."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch.nn import functional
from torch.optim import Adam
from torchinfo import summary

from convblocks.data.images import MNIST as MNIST_SPEC
from convblocks.data.images import ImageSource
from convblocks.data.mnist import DEFAULT_ROOT, MNISTFiles
from convblocks.fast.lightning import keep_freed_memory
from convblocks.model.classifier import ImageClassifier
from convblocks.model.networks import ARCHITECTURES, build_network
from convblocks.pictures.decoding import decode, for_all, read_shape
from convblocks.pictures.source import PictureFolder, find_classes, list_pictures
from lab.benchmarks.harness import Turns
from lab.benchmarks.pictures.data import DECODED, DESCRIPTIONS, Data, data_flags
from lab.benchmarks.rows import Row
from lab.benchmarks.training import ways
from lab.benchmarks.training.ways import (
    LEARNING_RATE,
    MANY_EPOCHS,
    SEED,
    Stopwatch,
    add_hooks,
    fit_command,
)

Part = Literal["epoch", "bare"]

BATCH_SIZE = 64

# Training steps to a batch of evaluation, as in a whole epoch of MNIST: 938 to 10.
STEPS_PER_EVALUATION = 94


@dataclass(frozen=True)
class Case:
    """What is done in a turn.

    Args:
        part: "epoch" for an epoch of fit.py with so many steps and as large a share of
            the evaluation, "bare" for the steps of the network and its optimizer alone.
        arch: The network's name.
        data: The data set.
        steps: Training steps.
    """

    part: Part
    arch: str
    data: Data
    steps: int


def train(case: Case, folder: Path, turns: Turns) -> None:
    """Take turns as long as there are any."""
    stopwatch = Stopwatch(turns)
    if case.part == "epoch":
        epochs(case, folder, stopwatch)
    else:
        bare_steps(case, stopwatch)


def epochs(case: Case, folder: Path, stopwatch: Stopwatch) -> None:
    """``scripts/fit.py``, with everything on."""
    add_hooks(ImageClassifier, stopwatch)
    evaluated = max(1, round(case.steps / STEPS_PER_EVALUATION))
    training = ways.Case(
        "fit", case.arch, batch_size=BATCH_SIZE, steps=case.steps, test_batches=evaluated
    )
    flags = data_flags(case.data, folder)
    fit_command(training, "measured", "--epochs", str(MANY_EPOCHS), *flags)


def bare_steps(case: Case, stopwatch: Stopwatch) -> None:
    """A plain loop over one batch, again and again: nothing is fetched, normalised or logged."""
    keep_freed_memory()
    torch.manual_seed(SEED)
    images_are = DESCRIPTIONS[case.data]
    network = build_network(case.arch, image_spec=images_are)
    optimizer = Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    images = torch.randn(BATCH_SIZE, *images_are.shape)
    targets = torch.randint(len(images_are.classes), (BATCH_SIZE,))
    while True:
        stopwatch.on_train_epoch_start()
        for _ in range(case.steps):
            optimizer.zero_grad()
            functional.cross_entropy(network(images), targets).backward()
            optimizer.step()
        stopwatch.on_validation_start()


def multiply_adds(arch: str, data: Data) -> int:
    """Of the network for a data set, on one image; by torchinfo."""
    images_are = DESCRIPTIONS[data]
    network = ARCHITECTURES[arch](images_are)
    return summary(network, input_size=(1, *images_are.shape), verbose=0).total_mult_adds


def decode_on_all_cores(folder: Path) -> int:
    """List, look at and decode training pictures, of which nothing was kept."""
    train = folder / DECODED / "train"
    paths = [path for path, _ in list_pictures(train, find_classes(train))]
    list(for_all(paths, read_shape))
    return len(decode(paths, MNIST_SPEC.shape))


def decode_on_one_core(folder: Path) -> int:
    """The same, where the system lets this process have no more than one core."""
    if sys.platform == "linux":  # elsewhere one core is all that is used anyway
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return decode_on_all_cores(folder)


def read_kept_file(folder: Path) -> int:
    """All pictures, with the look at whether they have changed."""
    return _loaded(PictureFolder(folder))


def read_mnist(folder: Path) -> int:
    """MNIST's own files, with the look at whether they are intact."""
    return _loaded(MNISTFiles(DEFAULT_ROOT))


def _loaded(source: ImageSource) -> int:
    files = source.load()
    return len(files.train.labels) + len(files.test.labels)


ALL_CORES = "decoding, all cores"
ONE_CORE = "decoding, one core"
KEPT = "the kept file"
ORIGINAL = "MNIST's own files"
WAYS: dict[str, Callable[[Path], int]] = {
    ALL_CORES: decode_on_all_cores,
    ONE_CORE: decode_on_one_core,
    KEPT: read_kept_file,
    ORIGINAL: read_mnist,
}


def reading(way: str, folder: Path) -> list[Row]:
    """How many images get from files into memory in how many seconds."""
    began = time.perf_counter()
    images = WAYS[way](folder)
    return [Row({}, {"images": images, "seconds": time.perf_counter() - began})]

"""Epochs on pictures and the steps of the network alone, and how long files take into memory."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch.nn import functional
from torch.optim import Adam
from torchinfo import summary

from benchmarks.pictures.data import DESCRIPTIONS, Data, data_flags
from benchmarks.rows import Row
from benchmarks.training import ways
from benchmarks.training.ways import LEARNING_RATE, SEED, Stopwatch, add_hooks, fit_command
from convblocks.data import mnist
from convblocks.data.folder import PictureFolder, find_classes, list_pictures
from convblocks.data.images import MNIST as MNIST_SPEC
from convblocks.data.pictures import decode, read_headers
from convblocks.model.classifier import ImageClassifier
from convblocks.model.networks import ARCHITECTURES, build_network
from convblocks.training.fast import keep_freed_memory

Part = Literal["epoch", "bare"]

BATCH_SIZE = 64

# How often the steps of a measurement are made; the first time is not timed.
REPEATS = 4

# Training steps to a batch of evaluation, as in a whole epoch of MNIST: 938 to 10.
STEPS_PER_EVALUATION = 94


@dataclass(frozen=True)
class Case:
    """The same steps several times.

    Args:
        part: "epoch" for epochs of fit.py with so many steps and as large a share of the evaluation, "bare" for the
            steps of the network and its optimizer alone.
        arch: The network's name.
        data: The data set.
        steps: Training steps.
    """

    part: Part
    arch: str
    data: Data
    steps: int


class EpochTimes(Stopwatch):
    """Keeps when each epoch began."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.starts.append(self.began)

    def of_epochs(self) -> list[float]:
        """The seconds of each epoch but the first, with its evaluation, logs and checkpoint."""
        return [end - start for start, end in pairwise([*self.starts, self.ended])][1:]


def trained(case: Case, folder: Path) -> list[Row]:
    """The seconds of each repeat but the first; the pictures lie in ``folder``."""
    seconds = epochs(case, folder) if case.part == "epoch" else bare_steps(case)
    return [Row({}, {"seconds": one}) for one in seconds]


def epochs(case: Case, folder: Path) -> list[float]:
    """``scripts/fit.py``, with everything on."""
    times = EpochTimes()
    add_hooks(ImageClassifier, times)
    evaluated = max(1, round(case.steps / STEPS_PER_EVALUATION))
    fit_command(
        ways.Case("fit", case.arch, batch_size=BATCH_SIZE),
        case.steps,
        "measured",
        *["--epochs", str(REPEATS), "--trainer.limit_val_batches", str(evaluated)],
        *data_flags(case.data, folder),
    )
    return times.of_epochs()


def bare_steps(case: Case) -> list[float]:
    """A plain loop over one batch, again and again: nothing is fetched, normalised or logged."""
    keep_freed_memory()
    torch.manual_seed(SEED)
    images_are = DESCRIPTIONS[case.data]
    network = build_network(case.arch, image_spec=images_are)
    optimizer = Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    images = torch.randn(BATCH_SIZE, *images_are.shape)
    targets = torch.randint(len(images_are.classes), (BATCH_SIZE,))
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        for _ in range(case.steps):
            optimizer.zero_grad()
            functional.cross_entropy(network(images), targets).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def multiply_adds(arch: str, data: Data) -> int:
    """Of the network for a data set, on one image; by torchinfo."""
    images_are = DESCRIPTIONS[data]
    return summary(ARCHITECTURES[arch](images_are), input_size=(1, *images_are.shape), verbose=0).total_mult_adds


def decode_on_all_cores(folder: Path) -> int:
    """List, look at and decode the training pictures, whatever was kept of them."""
    paths = list_pictures(folder / "train", find_classes(folder / "train")).paths
    read_headers(paths)
    return len(decode(paths, MNIST_SPEC.shape))


def decode_on_one_core(folder: Path) -> int:
    """The same, where the system lets this process have no more than one core."""
    if sys.platform == "linux":  # elsewhere one core is all that is used anyway
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return decode_on_all_cores(folder)


def read_kept_file(folder: Path) -> int:
    """All pictures, with the look at whether they have changed."""
    files = PictureFolder(folder).load()
    return len(files.train.labels) + len(files.test.labels)


def read_mnist(folder: Path) -> int:
    """MNIST's own files, with the look at whether they are intact."""
    files = mnist.load(mnist.DEFAULT_ROOT)
    return len(files.train.labels) + len(files.test.labels)


ALL_CORES, ONE_CORE, KEPT, ORIGINAL = "decoding, all cores", "decoding, one core", "the kept file", "MNIST's own files"
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

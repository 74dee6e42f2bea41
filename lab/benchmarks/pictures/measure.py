"""Epochs on pictures and the steps of the network alone, and how long files take into memory."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional
from torch.optim import Adam

from convblocks.data.images import MNIST as MNIST_SPEC
from convblocks.data.images import ImageSource, ImageSpec
from convblocks.data.mnist import DEFAULT_ROOT, MNISTFiles
from convblocks.fast.lightning import keep_freed_memory
from convblocks.model.networks import build_network
from convblocks.pictures.decoding import decode, for_all, read_shape
from convblocks.pictures.source import PictureFolder, find_classes, list_pictures
from lab.benchmarks.harness import Turns
from lab.benchmarks.pictures.data import DECODED
from lab.benchmarks.rows import Row
from lab.benchmarks.training.ways import LEARNING_RATE, SEED, Stopwatch

BATCH_SIZE = 64


def bare_steps(arch: str, images_are: ImageSpec, steps: int, turns: Turns) -> None:
    """A plain loop over one batch, again and again: nothing is fetched, normalised or logged."""
    stopwatch = Stopwatch(turns)
    keep_freed_memory()
    torch.manual_seed(SEED)
    network = build_network(arch, image_spec=images_are)
    optimizer = Adam(network.parameters(), lr=LEARNING_RATE, fused=True)
    images = torch.randn(BATCH_SIZE, *images_are.shape)
    targets = torch.randint(len(images_are.classes), (BATCH_SIZE,))
    while True:
        stopwatch.on_train_epoch_start()
        for _ in range(steps):
            optimizer.zero_grad()
            functional.cross_entropy(network(images), targets).backward()
            optimizer.step()
        stopwatch.on_validation_start()


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


def reading(way: str, folder: Path, turns: Turns) -> None:
    """A turn: how many images get from files into memory in how many seconds."""
    turns.wait()
    began = time.perf_counter()
    images = WAYS[way](folder)
    turns.report([Row({}, {"images": images, "seconds": time.perf_counter() - began})])

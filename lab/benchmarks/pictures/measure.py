"""Epochs on pictures and the steps of the network alone, and how long files take into memory."""

import os
import sys
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import torch

from convblocks.data.images import MNIST as MNIST_SPEC
from convblocks.data.images import ImageSource, ImageSpec
from convblocks.data.mnist import DEFAULT_ROOT, MNISTFiles
from convblocks.model.networks import build_network
from convblocks.pictures.decoding import decode, for_all, read_shape
from convblocks.pictures.lazy import LazyImages
from convblocks.pictures.source import PictureFolder, find_classes, list_pictures
from lab.benchmarks.harness import THREADS, Turns, in_turns
from lab.benchmarks.pictures.data import DECODED, SCALED
from lab.benchmarks.rows import Row, single_row
from lab.benchmarks.training.ways import BATCH_SIZE, BareLoop, Case, Stopwatch


def bare_steps(case: Case, image_spec: ImageSpec, turns: Turns) -> None:
    """A plain loop over one batch, again and again: nothing is fetched, normalised or logged."""
    stopwatch = Stopwatch(turns, case)
    loop = BareLoop(case, build_network(case.arch, image_spec=image_spec))
    images = torch.randn(case.batch_size, *image_spec.shape)
    targets = torch.randint(len(image_spec.classes), (case.batch_size,))
    while True:
        stopwatch.on_train_epoch_start()
        loop.train(repeat((images, targets), case.steps or 0))
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


def loaded(source: ImageSource) -> int:
    """All images, with the look at whether files are intact, or pictures have changed."""
    files = source.load()
    return len(files.train) + len(files.test)


def decode_photographs(folder: Path) -> int:
    """Batch by batch, as in each epoch of pictures that do not fit into memory."""
    images = LazyImages([*(folder / "photographs").iterdir()], SCALED)
    return sum(len(batch) for batch in images.split(BATCH_SIZE))


ALL_CORES = "decoding, all cores"
ONE_CORE = "decoding, one core"
ON_DEMAND = "photographs, batch by batch"
WAYS: dict[str, Callable[[Path], int]] = {
    ALL_CORES: decode_on_all_cores,
    ONE_CORE: decode_on_one_core,
    ON_DEMAND: decode_photographs,
    "the kept file": lambda folder: loaded(PictureFolder(folder)),
    "MNIST's own files": lambda folder: loaded(MNISTFiles(DEFAULT_ROOT)),
}


def reading(way: str, folder: Path, turns: Turns) -> None:
    """A turn: how many images get from files into memory in how many seconds."""
    turns.recv()
    began = time.perf_counter()
    images = WAYS[way](folder)
    turns.send(single_row(images=images, seconds=time.perf_counter() - began))


def single_turn(way: str, folder: Path) -> list[Row]:
    """The only turn of a new process."""
    with in_turns(THREADS, reading, way, folder) as take_turn:
        return take_turn()

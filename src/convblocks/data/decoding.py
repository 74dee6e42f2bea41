"""Many picture files at once, by all cores."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from convblocks.data.pictures import read_header, read_picture, to_pixels
from convblocks.errors import DataError, UserError

# Fewer files are read before a worker process has started, and before anybody wonders what goes on.
FEW = 500

# How many files a worker process takes at a time, and about how many bytes of pixels it hands back.
CHUNK_FILES = 64
CHUNK_BYTES = 1_000_000

Shape = tuple[int, int, int]
Numbers = NDArray[np.generic]


class Looks(NamedTuple):
    """What a picture looks like before it is decoded."""

    height: int
    width: int
    grey: bool


class Chunks(Dataset[tuple[Numbers, str]]):
    """Picture files in groups, each read into numbers (n, ...) by one process, with what is wrong with one of them.

    The numbers are an array, which comes through a pipe: tensors come through shared memory, of which containers
    often have too little.
    """

    def __init__(self, paths: Sequence[Path], length: int, read: Callable[[Path], Numbers]) -> None:
        self.chunks = [paths[start : start + length] for start in range(0, len(paths), length)]
        self.read = read

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, index: int) -> tuple[Numbers, str]:
        numbers = []
        for path in self.chunks[index]:
            try:
                numbers.append(self.read(path))
            except UserError as error:
                return np.empty(0), f"cannot use the picture {path}: {error}"
        return np.stack(numbers), ""


def looks_of(paths: Sequence[Path]) -> list[Looks]:
    """What each picture looks like, without decoding it.

    Raises:
        DataError: one cannot be read.
    """

    def read(path: Path) -> Numbers:
        return np.array(read_header(path))

    rows = np.concatenate(list(_in_parallel(Chunks(paths, CHUNK_FILES, read), f"Looking at {len(paths):,} pictures")))
    return [Looks(height, width, bool(grey)) for height, width, grey in rows.tolist()]


def decode(paths: Sequence[Path], shape: Shape) -> Tensor:
    """The pixels of pictures, scaled to (C, H, W): (N, C, H, W) uint8.

    Raises:
        DataError: one cannot be read.
    """
    channels, height, width = shape

    def read(path: Path) -> Numbers:
        return to_pixels(read_picture(path), channels, height, width)

    length = min(CHUNK_FILES, 1 + CHUNK_BYTES // (channels * height * width))
    images, done = torch.empty(len(paths), *shape, dtype=torch.uint8), 0
    for pixels in _in_parallel(Chunks(paths, length, read), f"Decoding {len(paths):,} pictures"):
        images[done : done + len(pixels)] = torch.from_numpy(pixels)
        done += len(pixels)
    return images


def _in_parallel(chunks: Chunks, what: str) -> Iterator[Numbers]:
    """What is read of each chunk, in their order, with a bar on a terminal or else a line."""
    files = sum(len(chunk) for chunk in chunks.chunks)
    # Where processes are not forked each would do all imports anew, and call the user's script once more.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" and files > FEW else 1
    workers = min(cores, len(chunks)) if cores > 1 else 0
    loader = DataLoader(
        chunks,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # or it would take one of the random numbers from which weights are drawn
    )
    results = iter(loader)  # which forks, before the bar has a thread
    console = Console(stderr=True)
    if files > FEW and not console.is_terminal:
        console.print(what)
    shown = track(
        results, what, len(chunks), console=console, transient=True, disable=files <= FEW or not console.is_terminal
    )
    try:
        for numbers, problem in shown:
            if problem:
                raise DataError(problem)
            yield numbers
    except RuntimeError as error:  # torch's, which names the process
        raise DataError(f"a process that decoded pictures was lost, for want of memory perhaps: {error}") from error


def _as_it_is(chunk: Any) -> Any:
    return chunk

"""Reads many picture files in parallel, on all cores."""

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

# Up to so many files are read without worker processes, which would take longer to start, and without a progress bar.
FEW = 500

# How many files a worker process takes at a time, and about how many bytes of pixels it returns.
CHUNK_FILES = 64
CHUNK_BYTES = 1_000_000

Shape = tuple[int, int, int]
Numbers = NDArray[np.generic]


class Header(NamedTuple):
    """What is known of a picture before it is decoded."""

    height: int
    width: int
    grey: bool


class Chunks(Dataset[tuple[Numbers, str]]):
    """Groups of picture files, each read by one process into an array (n, ...), with an error message or "".

    Arrays return through a pipe. Tensors would use shared memory, of which containers often have too little.
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


def read_headers(paths: Sequence[Path]) -> list[Header]:
    """The header of each picture, which is not decoded.

    Raises:
        DataError: a picture cannot be read.
    """

    def read(path: Path) -> Numbers:
        return np.array(read_header(path))

    rows = np.concatenate(list(_in_parallel(Chunks(paths, CHUNK_FILES, read), f"Looking at {len(paths):,} pictures")))
    return [Header(height, width, bool(grey)) for height, width, grey in rows.tolist()]


def decode(paths: Sequence[Path], shape: Shape) -> Tensor:
    """The pixels of pictures, scaled to the shape (C, H, W): (N, C, H, W) uint8.

    Raises:
        DataError: a picture cannot be read.
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


def _in_parallel(chunks: Chunks, title: str) -> Iterator[Numbers]:
    """The array of each chunk, in their order; shows a progress bar on a terminal, elsewhere a line."""
    files = sum(len(chunk) for chunk in chunks.chunks)
    # Only with fork: a spawned process would repeat all imports, and run the user's script again.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" and files > FEW else 1
    workers = min(cores, len(chunks)) if cores > 1 else 0
    loader = DataLoader(
        chunks,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        collate_fn=_unchanged,
        generator=torch.Generator(),  # otherwise it draws from the global generator, which the weights are drawn from
    )
    results = iter(loader)  # forks, before the progress bar starts a thread
    console = Console(stderr=True)
    if files > FEW and not console.is_terminal:
        console.print(title)
    shown = track(
        results, title, len(chunks), console=console, transient=True, disable=files <= FEW or not console.is_terminal
    )
    try:
        for numbers, problem in shown:
            if problem:
                raise DataError(problem)
            yield numbers
    except RuntimeError as error:  # torch's message names the process
        raise DataError(f"a process that decoded pictures died, perhaps out of memory: {error}") from error


def _unchanged(chunk: Any) -> Any:
    return chunk

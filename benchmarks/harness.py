"""Fresh processes in which benchmarks measure, and the options that they share."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

from convblocks.command_line import Parser, at_least
from convblocks.model.networks import ARCHITECTURES
from convblocks.runs.directory import LOGS
from convblocks.training.fork import apart, imported

T = TypeVar("T")


def in_fresh_process(threads: int, function: Callable[..., T], *arguments: object) -> T:
    """Call a function in a new process that has done its imports, in an empty folder, with its output thrown away."""
    with ProcessPoolExecutor(1, mp_context=imported(function)) as pool:
        return pool.submit(_call, threads, function, arguments).result()


def _call(threads: int, function: Callable[..., T], arguments: Sequence[object]) -> T:
    # Processes that load images start as in any script, and not from another server, which would do all imports again.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    torch.set_num_threads(threads)
    with apart():
        return function(*arguments)


def parser(rounds: int | None = None) -> Parser:
    """The options of all benchmarks; ``--rounds`` with this default."""
    made = Parser()
    made.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), choices=list(ARCHITECTURES))
    made.add_argument("--rounds", type=at_least(1), default=rounds)
    made.add_argument("--out", type=Path, default=LOGS / "benchmark")
    return made

"""Fresh processes in which benchmarks measure, and the options that they share."""

import gc
import io
import multiprocessing
import os
import sys
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TypeVar

import torch

from convblocks.command_line import Parser
from convblocks.model.networks import ARCHITECTURES
from convblocks.runs.directory import LOGS
from convblocks.training import tensorboard
from convblocks.training.fork import fork_server

T = TypeVar("T")


def imported(function: Callable[..., object]) -> BaseContext:
    """A context for new processes that have imported a function's module, and so all that it needs."""
    return fork_server(sys.modules[function.__module__], tensorboard)


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


@contextmanager
def apart() -> Iterator[None]:
    """An empty folder and no output, for a process that was forked to measure."""
    discard_output(as_terminal=True)
    # A forked process copies the memory that it writes to, and the collector writes to every object: without this it
    # would do so in the middle of the measurement, where a process of its own would not.
    gc.collect()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        yield
        os.chdir("/")


def discard_output(as_terminal: bool) -> None:
    """Throw this process's output away, on request as a terminal would take it: then progress bars are drawn."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    if as_terminal:
        sys.stdout = sys.stderr = _Terminal()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


def parser(rounds: int | None = None) -> Parser:
    """The options of all benchmarks; ``--rounds`` with this default."""
    made = Parser()
    made.add_argument("--arch", nargs="+", default=list(ARCHITECTURES), choices=list(ARCHITECTURES))
    made.add_argument("--rounds", type=at_least(1), default=rounds)
    made.add_argument("--out", type=Path, default=LOGS / "benchmark")
    return made


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option that is a number."""

    def number(text: str) -> int:
        if int(text) < least:
            raise ArgumentTypeError(f"must be at least {least}, but is {text}")
        return int(text)

    return number

"""Runs one measurement at a time, each in a process of its own."""

import gc
import io
import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from benchmarks.training import projects
from benchmarks.training.case import Case, Timing, Variant
from benchmarks.training.loops import bare, notebook
from benchmarks.training.projects import barebones, fit_project, lightning_plain
from convblocks.training import tensorboard
from convblocks.training.fork import fork_server

VARIANTS: dict[Variant, Callable[[Case], Timing]] = {
    "notebook": notebook,
    "lightning-plain": lightning_plain,
    "bare": bare,
    "barebones": barebones,
    "fit": fit_project,
}


@dataclass(frozen=True)
class Measurement:
    """The times of a case and, in bytes, by how much its process grew at most after the imports."""

    case: Case
    timing: Timing
    peak_memory: int


class Terminal(io.StringIO):
    """Takes the output as a terminal would, so that progress bars are drawn, and forgets it."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


def measure(case: Case, threads: int) -> Measurement:
    """Train one epoch in a fresh process that has done its imports, in an empty folder."""
    with ProcessPoolExecutor(1, mp_context=fork_server(projects, tensorboard)) as pool:
        return pool.submit(_measure_here, case, threads).result()


def _measure_here(case: Case, threads: int) -> Measurement:
    # Processes that load images start as in any script, and not from another server, which would do all imports again.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    torch.set_num_threads(threads)
    with apart():
        before = _peak_memory()
        timing = VARIANTS[case.variant](case)
        return Measurement(case, timing, _peak_memory() - before)


@contextmanager
def apart() -> Iterator[None]:
    """Measure in an empty folder, in a process that has been forked for this and whose output is thrown away."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    sys.stdout = sys.stderr = Terminal()
    # A forked process copies the memory that it writes to, and the collector writes to every object: without this it
    # would do so in the middle of the measurement, where a process of its own would not.
    gc.collect()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        yield
        os.chdir("/")


def _peak_memory() -> int:
    """The largest size that this process has had, in bytes."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024  # bytes on macOS, kilobytes on Linux

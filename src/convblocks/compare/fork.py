"""A fork server with the imports done, so that processes start at once."""

import gc
import io
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from convblocks import wings

# What every trial needs, whatever else its server is for.
IMPORTS = ("convblocks.run.fit", "convblocks.compare.dry_run")

if TYPE_CHECKING:  # not available on all systems
    from multiprocessing.context import ForkServerContext, SpawnContext


def fork_server(module: ModuleType) -> "ForkServerContext | SpawnContext":
    """A multiprocessing context whose server imports this module, and what runs need, before it forks.

    On Windows, where processes cannot be forked, each of them does the imports.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver, resource_tracker

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module.__name__, *IMPORTS, *wings.modules(), "convblocks.compare.unblock_sigint"])
    resource_tracker.ensure_running()  # otherwise forkserver starts it below, which would unblock SIGINT
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C during the server's imports prints a traceback
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return context


def imported(function: Callable[..., object]) -> "ForkServerContext | SpawnContext":
    """A context for new processes that have imported a function's module, and so all that it needs."""
    return fork_server(sys.modules[function.__module__])


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

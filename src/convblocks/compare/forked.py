"""Processes that start at once: they are forked by a server that has done the imports."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from convblocks import wings
from convblocks.console import status_of
from exact_resume import signals

# Python's tracker cleans up what killed processes leave, without a word.
QUIET = "ignore:resource_tracker"

if TYPE_CHECKING:  # not available on all systems
    from multiprocessing.context import ForkServerContext, SpawnContext


def context(*modules: str) -> "ForkServerContext | SpawnContext":
    """A multiprocessing context whose server imports what a run needs, and these
    modules, before it forks; it begins with that now.

    A process has one server, which knows the modules of the first call. It and what it
    forks ignore Ctrl-C, which a terminal sends to all: the process that started them
    decides. On Windows, where processes cannot be forked, each of them does the imports.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([*modules, "convblocks.compare.preload"])
    if QUIET not in sys.warnoptions:
        sys.warnoptions.append(QUIET)
    ours = signal.getsignal(signal.SIGINT)
    signals.handle({signal.SIGINT: signal.SIG_IGN})  # which new processes inherit
    try:
        forkserver.ensure_running()
    finally:
        signals.handle({signal.SIGINT: ours})
    return server


def start(words: list[str], log: Path, variables: Mapping[str, str] = {}) -> BaseProcess:
    """Run a command of the project in a process of its own, in this process's current
    folder and environment.

    It is killed when this process ends. Its exit status is the command's.

    Args:
        words: The command line after ``convblocks``.
        log: The file to which its output is added.
        variables: The variables of its environment that differ from those of this process.
    """
    environment = {**os.environ, **variables}
    process = context().Process(target=_run, args=(words, log, environment))
    process.start()
    return process


def kill(pid: int) -> None:
    """Kill a process, if it runs, with all that it has started, such as the workers of a
    loader.
    """
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                each.kill()


def start_as_by_hand() -> None:
    """Let this process start others as one does that a person has started: the server's
    method would be that of a loader's workers, and each would do all imports again.
    """
    multiprocessing.set_start_method(None, force=True)


def _run(words: list[str], log: Path, environment: dict[str, str]) -> None:
    start_as_by_hand()
    signals.handle({signal.SIGINT: signal.SIG_IGN})  # also on Windows
    die_with_parent()
    with log.open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.environ.clear()  # it is the server's, from when that was started
    os.environ.update(environment)
    sys.argv = ["convblocks", *words]
    # Lightning starts this module again for each further process of a run.
    sys.modules["__main__"].__spec__ = find_spec("convblocks.__main__")
    name, *arguments = words
    sys.exit(status_of(import_module(wings.commands()[name]).main, arguments))


def die_with_parent() -> None:
    """Let this process, and all that it has started, be killed when its parent ends; a thread
    waits for that.

    Otherwise the run of a killed comparison would go on beside the one that the next call
    starts.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_and_die() -> None:
        wait([parent.sentinel])
        kill(os.getpid())

    threading.Thread(target=wait_and_die, daemon=True).start()

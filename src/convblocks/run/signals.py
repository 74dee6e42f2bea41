"""Signals that ask a run to stop: recorded at once, acted on at the end of a batch. Imports little: it comes first.

Slurm sends SIGTERM when a job is cancelled, and the signal that a job script chooses, here SIGUSR1, when its time is
nearly up.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

# From Slurm, shortly before a job's time is up; not on Windows.
REQUEUE = getattr(signal, "SIGUSR1", None)

HANDLED = [number for number in (signal.SIGTERM, REQUEUE) if number is not None]

# The variable with the number of the process that has started a run's further ones.
FIRST_PROCESS = "CONVBLOCKS_FIRST_PROCESS"

_received: int = 0


def install() -> None:
    """Record these signals from now on, instead of being killed by them."""
    _handle(dict.fromkeys(HANDLED, _note))


@contextmanager
def recorded() -> Iterator[None]:
    """Record these signals for a while."""
    before = {number: signal.getsignal(number) for number in HANDLED}
    install()
    try:
        yield
    finally:
        _handle(before)


def uninstall() -> None:
    """Let these signals kill the process again, unless the program around a run has its own handlers."""
    _handle({number: signal.SIG_DFL for number in HANDLED if signal.getsignal(number) is _note})


def received() -> int:
    """The number of the signal received, or 0. SIGTERM has priority: a cancelled job must not be requeued."""
    return _received


def end_together(is_further: bool) -> None:
    """Kill a further process of a run once the first one, which has started it, has ended: it could wait for long."""
    if not is_further:
        os.environ[FIRST_PROCESS] = str(os.getpid())
    elif first := os.environ.get(FIRST_PROCESS):  # not of other launchers, which end all themselves
        threading.Thread(target=_wait_and_die, args=(int(first),), daemon=True).start()


def _wait_and_die(first: int) -> None:
    try:
        while True:
            os.kill(first, 0)
            time.sleep(1)
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGKILL)


def _handle(handlers: Mapping[signal.Signals, Any]) -> None:
    """Set the handlers of signals; Python refuses that in other threads, which leave them to the main thread."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _note(number: int, frame: FrameType | None) -> None:
    global _received
    if _received != signal.SIGTERM:
        _received = number

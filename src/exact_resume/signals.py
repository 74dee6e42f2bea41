"""Signals that ask a run to stop: recorded at once, acted on at the end of a batch.
Imports little: it comes first.

Slurm sends SIGTERM when a job is cancelled, and the signal that a job script chooses,
here SIGUSR1, when its time is nearly up.
"""

import signal
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Any

# From Slurm, shortly before a job's time is up; not on Windows.
REQUEUE = getattr(signal, "SIGUSR1", None)

HANDLED = [number for number in (signal.SIGTERM, REQUEUE) if number is not None]

_received = 0


def install() -> None:
    """Record these signals from now on, instead of being killed by them."""
    handle(dict.fromkeys(HANDLED, _note))


def uninstall() -> None:
    """Let these signals kill the process again, unless the program around a run has its
    own handlers.
    """
    handle({number: signal.SIG_DFL for number in HANDLED if signal.getsignal(number) is _note})


def received() -> int:
    """The number of the signal received, or 0. SIGTERM has priority: a cancelled job
    must not be requeued.
    """
    return _received


def forget() -> None:
    """Take the signal as answered: another training in this process goes on."""
    global _received
    _received = 0


def handle(handlers: Mapping[signal.Signals, Any]) -> None:
    """Set the handlers of signals; Python refuses that in other threads, which leave
    them to the main thread.
    """
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _note(number: int, frame: FrameType | None) -> None:
    global _received
    if _received != signal.SIGTERM:
        _received = number

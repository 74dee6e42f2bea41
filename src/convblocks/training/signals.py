"""Signals that ask a run to stop: noted at once, obeyed at the end of a batch. Light: imported before all else.

Slurm sends SIGTERM when a job is cancelled, and the signal that a job script names, here SIGUSR1, when its time is
nearly up.
"""

import os
import signal
from types import FrameType

# Of Slurm, before it takes the job away; not on Windows.
REQUEUE = getattr(signal, "SIGUSR1", None)

HANDLED = [number for number in (signal.SIGTERM, REQUEUE) if number is not None]

_received: int = 0


def install() -> None:
    """Note these signals from now on, instead of dying of them."""
    for number in HANDLED:
        signal.signal(number, _note)


def uninstall() -> None:
    """Let a process die of them again."""
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)


def received() -> int:
    """The number of the signal that came, 0 if none did. SIGTERM outranks: who cancels a job wants no requeue."""
    return _received


def forget() -> None:
    """Start afresh."""
    global _received
    _received = 0


def _note(number: int, frame: FrameType | None) -> None:
    global _received
    import multiprocessing  # not before it is needed: slow to load

    for child in multiprocessing.active_children():  # those of --trainer.strategy ddp_spawn do the work
        if child.pid is not None:
            os.kill(child.pid, number)
    if _received != signal.SIGTERM:
        _received = number

"""Signals that ask a run to stop: recorded at once, answered at the end of a batch. This
module imports little, since a command imports it first.

Slurm sends SIGTERM when a job is cancelled, and the signal that a job script chooses,
here SIGUSR1, when its time is nearly up. A terminal that is closed sends SIGHUP. Ctrl-C is
SIGINT, noted while a training goes on.
"""

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import Any

# The signal that Slurm sends shortly before a job's time is up; None on Windows.
REQUEUE = getattr(signal, "SIGUSR1", None)

# The signal of a terminal that is closed, unless ``nohup`` lets it be ignored; None on Windows.
HANGUP = getattr(signal, "SIGHUP", None)

HANDLED = [number for number in (signal.SIGTERM, REQUEUE, HANGUP) if number is not None]

# 0 for no signal, and the signals by their priority, the highest last: a job that was cancelled
# must not be requeued.
RANKED = [0, *HANDLED[1:], signal.SIGINT, signal.SIGTERM]

_received = 0

# Ctrl-C pressed twice within so many seconds counts as once.
TWICE = 0.3

# The id of the process that records Ctrl-C; 0 if none does.
_noting = 0

# The line that the first Ctrl-C prints.
_says = ""


def install() -> None:
    """Record these signals from now on, instead of being killed by them."""
    for number in HANDLED:
        if number != HANGUP or signal.getsignal(number) != signal.SIG_IGN:
            handle({number: _note})


def uninstall() -> None:
    """Let these signals kill the process again, unless the program around a run has its
    own handlers.
    """
    handle({number: signal.SIG_DFL for number in HANDLED if signal.getsignal(number) is _note})


def leave_interrupts() -> None:
    """Ignore Ctrl-C, which the process that has started this one answers, until this one
    records it too. If this one ended first, Lightning would kill the other one.
    """
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_DFL):
        handle({signal.SIGINT: _leave})


def note_interrupts(says: str = "") -> None:
    """Record the first Ctrl-C, and print a line; a second one ends the process at once, or
    raises KeyboardInterrupt in an interactive Python.

    Only where Ctrl-C would raise KeyboardInterrupt now, or ``leave_interrupts`` ignores it:
    elsewhere it is ignored on purpose, or the program around a run answers it. To be called
    before loaders fork their workers, which must not end at the first Ctrl-C.

    Args:
        says: The line.
    """
    global _noting, _says
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _note_interrupt, _leave):
        _noting, _says = os.getpid(), says
        handle({signal.SIGINT: _note_interrupt})


def raise_interrupts() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    global _noting
    if _noting:
        _noting = 0
        handle({signal.SIGINT: signal.default_int_handler})


def received() -> int:
    """The number of the signal received, or 0; of several, the one with the highest
    priority.
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


def _leave(number: int, frame: FrameType | None) -> None:
    pass


def _note(number: int, frame: FrameType | None) -> None:
    global _received
    _received = max(_received, number, key=RANKED.index)
    if number == HANGUP:
        _leave_closed_terminal()


def _leave_closed_terminal() -> None:
    """Print to nowhere from now on: printing there would end the training before it saves."""
    for descriptor in (1, 2):
        try:
            os.get_terminal_size(descriptor)
        except OSError as error:
            if error.errno == errno.EIO:
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _note_interrupt(number: int, frame: FrameType | None) -> None:
    if not _noting:  # Lightning has put this handler back after an error
        signal.default_int_handler(number, frame)
    signal.signal(number, signal.SIG_IGN)
    time.sleep(TWICE)
    # The system's own handler ends the process even where Python waits for other processes.
    is_interactive = hasattr(sys, "ps1")
    signal.signal(number, signal.default_int_handler if is_interactive else signal.SIG_DFL)
    if _noting == os.getpid():
        _note(number, frame)
        with suppress(OSError):  # print may have been interrupted itself
            os.write(2, f"\n{_says}\n".encode() if _says else b"")

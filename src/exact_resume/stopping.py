"""Ends a training after a signal, with one line and the exit status of that signal."""

import sys
from functools import partial
from types import TracebackType
from typing import Any, NoReturn

from exact_resume import signals, slurm
from exact_resume.errors import Stopped


def stop(number: int, message: str) -> NoReturn:
    """End this process's training, which has saved its state.

    Args:
        number: The number of the signal, which all processes know.
        message: The line to print; empty in all processes but the first.

    Raises:
        Stopped: always; uncaught it ends a script with the line and the exit status.
    """
    if number == signals.REQUEUE and message:
        slurm.requeue()
    signals.forget()
    sys.excepthook = partial(_end, sys.excepthook)
    stopped = Stopped(number, message)
    if slurm.is_further_process() and not slurm.is_launched():
        # Lightning has started this process. If it ended with an error, Lightning would kill
        # the first process, which may still be writing.
        stopped.exit_status = 0
    raise stopped


def _end(
    others: Any, kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Called for an error that nobody has caught, before Python ends."""
    if not isinstance(error, Stopped):
        others(kind, error, trace)
        return
    if str(error):
        print(error, file=sys.stderr)
    sys.exit(error.exit_status)

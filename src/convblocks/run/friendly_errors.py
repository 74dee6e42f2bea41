"""Turns expected failures of a training into one-line errors."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from convblocks.console import DISK_ERRORS, print_error
from convblocks.errors import DataError, UsageError, UserError, one_line
from convblocks.record.directory import RESUME_HINT
from convblocks.run.run import Run
from exact_resume.errors import ResumeError, Stopped

# The failures of Lightning and torch that are expected. Each has the type of an exception, a
# pattern for the modules that it came through and its message, and the type and text of the error
# for the user. The first that fits is taken.
EXPECTED = (
    (
        torch.OutOfMemoryError,
        "",
        UsageError,
        "{device} has too little memory for this run: give a smaller --batch_size",
    ),
    (
        RuntimeError,  # torch raises it when another process no longer answers
        "Connection reset by peer|Connection closed by peer|Broken pipe",
        UserError,
        f"another process of this run was lost or has failed: {RESUME_HINT}",
    ),
    (MisconfigurationException, "", UserError, "{message}"),
    (
        ZeroDivisionError,
        r"(lightning|torch)\S*: ",
        UsageError,
        "{message}: the frequency and the step size of a schedule must be at least 1",
    ),
    (
        AttributeError,
        r"lightning\S*(lr_finder|finetuning( torch\S*)*): ",
        UsageError,
        "a callback needs what the module lacks: {message}",
    ),
    (
        Exception,
        "Early stopping conditioned on metric|`val_check_interval`"
        "|loading state_dict|loaded state dict"
        # mixed precision with a fused optimizer; --optimizer.fused false helps
        "|does not allow for gradient clipping"
        "|SparseAdam does not support dense gradients|does not support the `CombinedLoader",
        UserError,
        "{message}",
    ),
)


@contextmanager
def friendly_errors(run: Run) -> Iterator[None]:
    """Turn expected exceptions of a run's Trainer into one-line errors, in a context.

    One process reports an error that all find. Each reports an error that only some may
    find, such as a lost process or a damaged picture.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        UserError: a signal, wrong options, a disk that cannot be written to, too little
            memory, or a lost process.
    """
    try:
        yield
    except ResumeError as error:
        if run.is_rank_zero or isinstance(error, Stopped | DataError):
            raise
        raise type(error)() from error  # without a message: another process prints it
    except SystemExit as error:
        # Lightning turns Ctrl-C into exit status 1.
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        if run.is_rank_zero:
            print_error(f"stopped: {run.config.resume_hint(run.directory.name)}")
        raise KeyboardInterrupt from error
    except Exception as error:
        if told := _told(error, run):
            raise told from error
        raise


def _told(error: Exception, run: Run) -> UserError | None:
    """The error for the user if an exception is an expected one; None if it is not."""
    if disk_error := find_disk_error(error, run.directory.path):
        path = os.fsdecode(disk_error.filename or run.directory.path)
        return UserError(f"cannot write to {path} ({disk_error.strerror}); {RESUME_HINT}")
    message = one_line(error)
    frames = walk_tb(error.__traceback__)
    way = " ".join(frame.f_globals.get("__name__", "") for frame, _ in frames)
    for kind, pattern, user_error, text in EXPECTED:
        if isinstance(error, kind) and re.search(pattern, f"{way}: {message}"):
            # Each process finds what Lightning and torch refuse, and one reports it.
            if not run.is_rank_zero:
                message = ""
            return user_error(text.format(device=run.trainer.strategy.root_device, message=message))
    return None


def find_disk_error(error: BaseException | None, directory: Path) -> OSError | None:
    """The error of a disk, or of a file of the run, that is the exception itself or a cause of
    it: loggers wrap theirs in others.
    """
    while error is not None:
        if isinstance(error, OSError):
            is_of_run = str(directory) in os.fsdecode(error.filename or "")
            if is_of_run or error.errno in DISK_ERRORS:
                return error
        error = error.__cause__
    return None

"""Turns expected failures into one-line errors, printed once if all processes find them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from convblocks.console import DISK_ERRORS, print_error
from convblocks.errors import DataError, UsageError, UserError
from convblocks.run.run import RESUME_HINT, Run
from exact_resume import slurm
from exact_resume.errors import ResumeError, Stopped

# Parts of Lightning's and torch's messages about what a user can mend.
EXPECTED = [
    "Early stopping conditioned on metric",
    "`val_check_interval`",
    "loading state_dict",
    "loaded state dict",
]
EXPECTED += [
    "does not allow for gradient clipping"
]  # in mixed precision, but with --optimizer.fused false

# Parts of torch's messages when a process no longer answers.
LOST_MESSAGES = ("Connection reset by peer", "Connection closed by peer", "Broken pipe")


@contextmanager
def rank_zero_errors() -> Iterator[None]:
    """Report an error that all processes find before training on the first one of each
    machine, usage errors once.
    """
    try:
        yield
    except ResumeError as error:
        if slurm.is_further_process(of_all_machines=isinstance(error, UsageError)):
            raise type(error) from error
        raise


@contextmanager
def friendly_errors(run: Run) -> Iterator[None]:
    """Turn expected exceptions of a run's Trainer into one-line errors.

    Errors that only some processes may find, such as a lost process or a damaged
    picture, each of them reports.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        UserError: a signal, wrong options, a disk that cannot be written to, too little
            memory, or a lost process.
    """
    try:
        yield
    except (Stopped, DataError):
        raise
    except ResumeError as error:
        if run.is_rank_zero:
            raise
        raise type(error) from error
    except SystemExit as error:
        if isinstance(
            error.__context__, KeyboardInterrupt
        ):  # which Lightning turns into exit status 1
            print_error(f"stopped: {RESUME_HINT}")
            raise KeyboardInterrupt from error
        raise
    except (MisconfigurationException, RuntimeError, ValueError, OSError) as error:
        if disk_error := find_disk_error(error, run.directory.path):
            path = os.fsdecode(disk_error.filename or run.directory.path)
            raise UserError(
                f"cannot write to {path} ({disk_error.strerror}); {RESUME_HINT}"
            ) from error
        if isinstance(error, torch.OutOfMemoryError):
            device = run.trainer.strategy.root_device
            raise UsageError(
                f"{device} has too little memory for this run: give a smaller --batch_size"
            ) from error
        message = " ".join(str(error).split())
        if isinstance(error, RuntimeError) and any(part in message for part in LOST_MESSAGES):
            raise UserError(
                f"another process of this run was lost or has failed: {RESUME_HINT}"
            ) from error
        if isinstance(error, MisconfigurationException) or any(
            part in message for part in EXPECTED
        ):
            raise UserError(message if run.is_rank_zero else "") from error
        raise


def find_disk_error(error: BaseException | None, directory: Path) -> OSError | None:
    """The error of a disk or of a run's file that caused an exception, if any; loggers
    wrap theirs.
    """
    while error is not None:
        if isinstance(error, OSError) and (
            str(directory) in os.fsdecode(error.filename or "") or error.errno in DISK_ERRORS
        ):
            return error
        error = error.__cause__
    return None

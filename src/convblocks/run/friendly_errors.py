"""Turns expected failures into one-line errors, printed once if all processes find them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from convblocks.console import DISK_ERRORS
from convblocks.errors import DataError, Stopped, UsageError, UserError
from convblocks.run import slurm
from convblocks.run.directory import RunDirectory

# Parts of Lightning's messages about wrong options that are not MisconfigurationExceptions.
LIGHTNING_MESSAGES = ("Early stopping conditioned on metric", "`val_check_interval`")

# Parts of torch's messages when a process no longer answers.
LOST_MESSAGES = ("Connection reset by peer", "Connection closed by peer", "Broken pipe")


@contextmanager
def rank_zero_errors(is_rank_zero: bool | None = None) -> Iterator[None]:
    """Report an error that all processes find before training only once.

    Without ``is_rank_zero``, on the first process of each machine, or for a UsageError of all machines.
    """
    try:
        yield
    except UserError as error:
        is_further = slurm.is_further_process(of_all_machines=isinstance(error, UsageError))
        if is_further if is_rank_zero is None else not is_rank_zero:
            raise type(error) from error
        raise


@contextmanager
def friendly_errors(trainer: Trainer, directory: RunDirectory, resume_hint: str) -> Iterator[None]:
    """Turn expected exceptions of a Trainer into one-line errors.

    What only some processes may find, such as the end of another one or a damaged picture, each of them reports.

    Args:
        trainer: The Trainer.
        directory: Of the run.
        resume_hint: The advice for a run that has ended early.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Stopped: a signal came.
        UserError: incompatible options, a full disk, a run directory that cannot be written to, or the end of another
            process.
    """
    try:
        yield
    except (Stopped, DataError):
        raise
    except UserError as error:
        if trainer.is_global_zero:
            raise
        raise type(error) from error
    except SystemExit as exit_of_lightning:
        if trainer.received_sigterm:  # Lightning's own handler, which runs without checkpoints have
            message = f"stopped: {resume_hint}" if trainer.is_global_zero else ""
            raise Stopped(signal.SIGTERM, message) from exit_of_lightning
        if isinstance(exit_of_lightning.__context__, KeyboardInterrupt):  # which Lightning turns into exit status 1
            raise KeyboardInterrupt from exit_of_lightning
        called = f"sys.exit({exit_of_lightning.code!r})"
        raise UserError(f"a network, callback or logger called {called}: {resume_hint}") from exit_of_lightning
    except (MisconfigurationException, RuntimeError, ValueError, OSError) as error:
        if disk_error := find_disk_error(error, directory):
            raise UserError(_cannot_write(directory, disk_error)) from error
        if isinstance(error, torch.OutOfMemoryError):
            device = trainer.strategy.root_device
            raise UsageError(f"{device} has too little memory for this run: give a smaller --batch_size") from error
        if is_lost_process(error):
            raise UserError(f"another process of this run was lost or has failed: {resume_hint}") from error
        is_expected = isinstance(error, MisconfigurationException)
        if not is_expected and not any(part in str(error) for part in LIGHTNING_MESSAGES):
            raise
        raise UserError(" ".join(str(error).split()) if trainer.is_global_zero else "") from error


def is_lost_process(error: Exception) -> bool:
    """Whether torch raises this error in a process whose collective lacks another one."""
    return isinstance(error, RuntimeError) and any(part in str(error) for part in LOST_MESSAGES)


def find_disk_error(error: BaseException | None, directory: RunDirectory) -> OSError | None:
    """The error of a disk or of a run's file that caused an exception, if any; loggers wrap theirs."""
    while error is not None:
        if isinstance(error, OSError):
            of_this_run = str(directory.path) in os.fsdecode(error.filename or "")
            if of_this_run or error.errno in DISK_ERRORS:
                return error
        error = error.__cause__
    return None


def _cannot_write(directory: RunDirectory, error: OSError) -> str:
    """The message of a run that cannot write."""
    if not directory.path.is_dir():
        hint = "the run is no longer there: if it was moved, carry on with --resume under its new --name"
    elif directory.last_checkpoint.is_file():
        hint = "its last checkpoint is intact: carry on with --resume once that is fixed"
    else:
        hint = "it has no checkpoint yet"
    return f"cannot write to {os.fsdecode(error.filename or directory.path)} ({error.strerror}); {hint}"

"""How a run ends that does not end well: in one line, where it is no fault of the code."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from convblocks.console import DISK_ERRORS, FILE_ERRORS
from convblocks.errors import Stopped, UserError
from convblocks.runs.directory import RunDirectory
from convblocks.training import signals, slurm
from convblocks.training.parts import Training

# In what Lightning says of options that it cannot obey, where it does not raise an exception of its own.
OF_LIGHTNING = ("Early stopping conditioned on metric", "`val_check_interval`")


@contextmanager
def friendly_errors(training: Training) -> Iterator[None]:
    """Turn what ends a Trainer, and is not our fault, into what is shown as one line.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Stopped: a signal came.
        UserError: options that do not go together, a disk that is full, or a run directory that cannot be written to.
    """
    try:
        yield
    except SystemExit as exit_of_lightning:
        if training.trainer.received_sigterm:  # without checkpoints Lightning's own handler is in place
            message = f"stopped: {training.what_to_do}" if training.is_rank_zero else ""
            raise Stopped(signal.SIGTERM, message) from exit_of_lightning
        if training.trainer.interrupted:  # Lightning turns Ctrl-C into exit status 1
            raise KeyboardInterrupt from exit_of_lightning
        raise
    except ProcessExitedException as error:  # of --trainer.strategy ddp_spawn, as the next
        raise UserError(f"process {error.error_index} on {slurm.host()} was lost: {training.what_to_do}") from error
    except ProcessRaisedException as error:
        if number := signals.received():
            raise Stopped(number, f"stopped: {training.what_to_do}") from error
        name, _, message = str(error).strip().splitlines()[-1].partition(": ")
        if not name.startswith(f"{UserError.__module__}."):
            raise
        raise UserError(message) from error
    except (MisconfigurationException, RuntimeError, ValueError, OSError) as error:
        if disk_error := of_files(error, training.directory):
            raise UserError(what_is_left(training.directory, disk_error)) from error
        if not isinstance(error, MisconfigurationException) and not any(part in str(error) for part in OF_LIGHTNING):
            raise
        raise UserError(" ".join(str(error).split())) from error


def of_files(error: BaseException | None, directory: RunDirectory) -> OSError | None:
    """What a disk or a file of the run has to do with an error, if anything; loggers raise errors of their own."""
    while error is not None:
        if isinstance(error, OSError):
            of_this_run = str(directory.path) in os.fsdecode(error.filename or "")
            if error.errno in (FILE_ERRORS if of_this_run else DISK_ERRORS):
                return error
        error = error.__cause__
    return None


def what_is_left(directory: RunDirectory, error: OSError) -> str:
    """What to say when a run cannot write."""
    if not directory.path.is_dir():
        left = "the run is no longer there: if it was moved, carry on with --resume under its new --name"
    elif directory.last_checkpoint.is_file():
        left = "its last checkpoint is intact: carry on with --resume, once that is mended"
    else:
        left = "it holds no checkpoint yet"
    return f"cannot write to {os.fsdecode(error.filename or directory.path)} ({error.strerror}); {left}"

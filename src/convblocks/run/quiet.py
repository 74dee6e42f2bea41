"""Filters out messages that are the same for every run, or repeated by its processes;
other warnings and errors stay.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from convblocks.errors import UsageError
from exact_resume import slurm
from exact_resume.errors import ResumeError

# Warnings that do not apply to this project.
NOT_HERE = (
    ".*LeafSpec.* is deprecated",  # Lightning 2.6 with torch 2.13, at every batch
    # a resume writes there on purpose
    "(Checkpoint|Experiment logs) directory .* exists and is not empty",
    # of OnExceptionCheckpoint, in new runs
    r"`?\.fit\(ckpt_path=(None|\"last\")\)`? (was called|is set)",
    # a machine with Slurm may be used without it
    "The `srun` command is available on your system but is not used",
    ".set_vital. is deprecated",  # by torch, which torchdata calls
    # the objects that checkpoints leave out are told
    "Attribute .* is an instance of `nn.Module` and is already saved",
    "The number of training batches .* is smaller than the logging interval",
)


def quiet_lightning() -> None:
    """Silence Lightning's hints and progress messages, and what does not apply to this project."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("callbacks.model_summary", "profilers"):  # reports that a user asks for
        logging.getLogger(f"lightning.pytorch.{name}").setLevel(logging.INFO)
    for message in NOT_HERE:
        warnings.filterwarnings("ignore", message=message)
    if slurm.is_further_process():
        warnings.simplefilter("ignore")  # the first process on this machine shows them


@contextmanager
def rank_zero_errors() -> Iterator[None]:
    """Report an error that all processes find before training on the first one of each
    machine, usage errors once.
    """
    try:
        yield
    except ResumeError as error:
        if slurm.is_further_process(of_all_machines=isinstance(error, UsageError)):
            raise type(error)() from error  # without a message: another process prints it
        raise

"""Filters out messages that are the same for every run, or repeated; other warnings and errors stay."""

import logging
import threading
import warnings

# Warnings that do not apply to this project.
NOT_HERE = (
    ".*LeafSpec.* is deprecated",  # Lightning 2.6 with torch 2.13, at every batch
    "(Checkpoint|Experiment logs) directory .* exists and is not empty",  # a resume writes there on purpose
    r"`?\.fit\(ckpt_path=(None|\"last\")\)`? (was called|is set)",  # of OnExceptionCheckpoint, in new runs
    "The `srun` command is available on your system but is not used",  # a machine with Slurm may be used without it
    "The number of training batches .* is smaller than the logging interval",
    ".set_vital. is deprecated",  # by torch, which torchdata calls
)

_show_error = threading.excepthook


def quiet_lightning() -> None:
    """Silence Lightning's hints and progress messages, and what does not apply to this project."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # their reports
    for message in NOT_HERE:
        warnings.filterwarnings("ignore", message=message)
    threading.excepthook = _show_unless_of_tensorboard


def quiet_further_processes() -> None:
    """Drop warnings: the first process on this machine shows them."""
    warnings.simplefilter("ignore")


def _show_unless_of_tensorboard(error: threading.ExceptHookArgs) -> None:
    """Show an error of a thread; that of TensorBoard's writer is the Trainer's at its next write."""
    if type(error.thread).__name__ != "_AsyncWriterThread":
        _show_error(error)

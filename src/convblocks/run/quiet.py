"""Filters out messages that are the same for every run, or repeated; other warnings and errors stay."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def quiet_lightning() -> None:
    """Silence Lightning's hints and progress messages, and warnings that do not apply to this project."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 with torch 2.13, at every batch.
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
    # A resume writes into the same directory on purpose.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    # CSVLogger warns too, but the rows that it deletes are written again.
    warnings.filterwarnings("ignore", message="Experiment logs directory .* exists and is not empty")
    # New runs also look for a checkpoint of OnExceptionCheckpoint.
    warnings.filterwarnings("ignore", message=r"`?\.fit\(ckpt_path=(None|\"last\")\)`? (was called|is set)")
    # A machine with Slurm may be used without it.
    warnings.filterwarnings("ignore", message="The `srun` command is available on your system but is not used")
    # A short epoch may have no logged step.
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")


def quiet_further_processes() -> None:
    """Drop warnings: the first process on this machine shows them."""

    def skip(*_: Any, **__: Any) -> None:
        """Do nothing."""

    warnings.showwarning = skip


@contextmanager
def quiet_tensorboard_thread() -> Iterator[None]:
    """Suppress the traceback of TensorBoard's writer thread; the Trainer gets its error at the next write."""
    hook = threading.excepthook

    def show(error: threading.ExceptHookArgs) -> None:
        if type(error.thread).__name__ != "_AsyncWriterThread":
            hook(error)

    threading.excepthook = show
    try:
        yield
    finally:
        threading.excepthook = hook

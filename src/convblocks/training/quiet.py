"""Silences what is said about every run alike, or said twice; other warnings and errors stay."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def silence_what_every_run_says() -> None:
    """Lightning's hints and progress messages, and the warnings that hold for no run of this project."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 with torch 2.13, at every batch.
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
    # A resume writes into the same directory on purpose.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    # CSVLogger says so too, but what it deletes is written anew.
    warnings.filterwarnings("ignore", message="Experiment logs directory .* exists and is not empty")
    # OnExceptionCheckpoint is looked for in runs that are new.
    warnings.filterwarnings("ignore", message=r"`?\.fit\(ckpt_path=(None|\"last\")\)`? (was called|is set)")
    # A machine that has Slurm may still be used without it.
    warnings.filterwarnings("ignore", message="The `srun` command is available on your system but is not used")
    # A short epoch may have no step that is logged.
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval")


def silence_what_the_first_process_says() -> None:
    """Drop warnings until the processes have met: ``RankFailureMonitor`` then shows those that rank 0 lacks."""

    def leave_out(*_: Any, **__: Any) -> None:
        """Nothing."""

    warnings.showwarning = leave_out


@contextmanager
def tensorboards_thread_is_quiet() -> Iterator[None]:
    """Without the traceback of TensorBoard's writing thread, whose error reaches the Trainer with the next write."""
    hook = threading.excepthook

    def tell(error: threading.ExceptHookArgs) -> None:
        if type(error.thread).__name__ != "_AsyncWriterThread":
            hook(error)

    threading.excepthook = tell
    try:
        yield
    finally:
        threading.excepthook = hook

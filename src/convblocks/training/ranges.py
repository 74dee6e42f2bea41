"""Numbers among the options of ``fit.py`` that make no sense, and that nobody else refuses in time."""

from contextlib import suppress

import jsonargparse
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Timer

from convblocks.errors import UsageError

# Numbers that Lightning takes whatever they are: the lowest one that makes sense, and whether that one does itself.
RANGES = {
    "threads": (1, True),
    "trainer.log_every_n_steps": (1, True),
    "trainer.accumulate_grad_batches": (1, True),
    "trainer.check_val_every_n_epoch": (1, True),
    "trainer.gradient_clip_val": (0, True),
    "trainer.min_epochs": (0, True),
    "trainer.min_steps": (0, True),
    "trainer.limit_train_batches": (0, False),  # a run trains, and ends with a test
    "trainer.limit_test_batches": (0, False),
    "trainer.val_check_interval": (0, False),
}

# More than any machine has; the C library's own limit ends the process without a word.
MOST_THREADS = 1024


def check_ranges(config: jsonargparse.Namespace) -> None:
    """Refuse numbers that make no sense, with a UsageError."""
    if config.trainer.log_every_n_steps is None:
        raise UsageError("--trainer.log_every_n_steps must be at least 1, but is null")
    numbers = {option: config[option] for option in RANGES if isinstance(config[option], int | float)}
    for option, number in numbers.items():
        least, itself = RANGES[option]
        if not (number > least or (itself and number == least)):
            raise UsageError(f"--{option} must be {'at least' if itself else 'above'} {least}, but is {number}")
    if config.threads > MOST_THREADS:
        raise UsageError(f"--threads must be at most {MOST_THREADS:,}, but is {config.threads:,}")
    if not 0 <= config.seed < 2**32:
        raise UsageError(f"--seed must be in 0..2^32-1, but is {config.seed}")
    with suppress(MisconfigurationException):  # Lightning complains of what is no time
        if config.trainer.max_time is not None and not (Timer(config.trainer.max_time).time_remaining() or 0) > 0:
            raise UsageError("--trainer.max_time must be above 0")

"""Range checks that neither jsonargparse nor Lightning performs."""

from contextlib import suppress

import jsonargparse
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Timer

from convblocks.errors import UsageError

# The lower bound of each option, and whether the bound itself is allowed.
RANGES = {
    "threads": (1, True),
    "trainer.log_every_n_steps": (1, True),
    "trainer.accumulate_grad_batches": (1, True),
    "trainer.check_val_every_n_epoch": (1, True),
    "trainer.gradient_clip_val": (0, True),
    "trainer.min_epochs": (0, True),
    "trainer.min_steps": (0, True),
    "trainer.limit_train_batches": (0, False),  # every run trains, and ends with a test
    "trainer.limit_test_batches": (0, False),
    "trainer.val_check_interval": (0, False),
}

# More than any machine has. Beyond the C library's limit the process would die without a message.
MOST_THREADS = 1024


def check_ranges(config: jsonargparse.Namespace) -> None:
    """Raise a UsageError for a number out of range."""
    if config.trainer.log_every_n_steps is None:
        raise UsageError("--trainer.log_every_n_steps must be at least 1, but is null")
    numbers = {option: config[option] for option in RANGES if isinstance(config[option], int | float)}
    for option, number in numbers.items():
        bound, is_allowed = RANGES[option]
        if not (number > bound or (is_allowed and number == bound)):
            raise UsageError(f"--{option} must be {'at least' if is_allowed else 'above'} {bound}, but is {number}")
    if config.threads > MOST_THREADS:
        raise UsageError(f"--threads must be at most {MOST_THREADS:,}, but is {config.threads:,}")
    if not 0 <= config.seed < 2**32:
        raise UsageError(f"--seed must be in 0..2^32-1, but is {config.seed}")
    with suppress(MisconfigurationException):  # Lightning itself refuses what is not a time
        if config.trainer.max_time is not None and not (Timer(config.trainer.max_time).time_remaining() or 0) > 0:
            raise UsageError("--trainer.max_time must be above 0")

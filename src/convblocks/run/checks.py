"""Checks of a parsed command line of ``fit`` that neither jsonargparse nor Lightning makes."""

from contextlib import suppress

import jsonargparse
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Timer

from convblocks.errors import UsageError
from convblocks.model.class_specs import CONSTANT, spans_the_run

# Lightning's value for no limit.
NO_LIMIT = -1

# Lower bounds that neither jsonargparse nor Lightning checks, and whether the bound itself is allowed.
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

NAME_IS_NEEDED = "--resume needs the --name of the run, for example --name maxpool/version_0"


def check(parsed: jsonargparse.Namespace) -> None:
    """Raise a UsageError for options that are out of range, incompatible, or not supported by this project."""
    trainer = parsed.trainer
    numbers = {option: parsed[option] for option in RANGES if isinstance(parsed[option], int | float)}
    for option, number in numbers.items():
        bound, is_allowed = RANGES[option]
        if not (number > bound or (is_allowed and number == bound)):
            raise UsageError(f"--{option} must be {'at least' if is_allowed else 'above'} {bound}, but is {number}")
    if endless := [name for name, number in parsed.items() if isinstance(number, int) and abs(number) >= 2**63]:
        raise UsageError(f"--{endless[0]} must be below 2^63")
    if parsed.threads > MOST_THREADS:
        raise UsageError(f"--threads must be at most {MOST_THREADS:,}, but is {parsed.threads:,}")
    if not 0 <= parsed.seed < 2**32:
        raise UsageError(f"--seed must be in 0..2^32-1, but is {parsed.seed}")
    with suppress(MisconfigurationException, TypeError):  # Lightning itself refuses what is not a time
        if trainer.max_time is not None and not (Timer(trainer.max_time).time_remaining() or 0) > 0:
            raise UsageError("--trainer.max_time must be above 0")
    if trainer.max_steps == 0:
        raise UsageError("--trainer.max_steps must be at least 1, or -1 for no limit")
    is_limited = trainer.max_steps > 0 or trainer.max_time is not None
    if trainer.max_epochs < 1 and not (trainer.max_epochs == NO_LIMIT and is_limited):
        raise UsageError(f"--epochs must be at least 1, but is {trainer.max_epochs}")
    has_no_end = trainer.max_epochs == NO_LIMIT and trainer.max_steps == -1
    if has_no_end and spans_the_run(parsed.model.get("lr_scheduler") or CONSTANT):
        raise UsageError(
            "a schedule over the whole run needs --epochs or --trainer.max_steps: with max_time its steps are unknown"
        )
    if parsed.resume and parsed.name is None:
        raise UsageError(NAME_IS_NEEDED)
    if trainer.barebones or trainer.enable_checkpointing is False:
        raise UsageError("every run can be resumed: leave --trainer.barebones and --trainer.enable_checkpointing out")
    if trainer.fast_dev_run:
        raise UsageError("--trainer.fast_dev_run is not supported: give --check_resume, which tries all loops out")

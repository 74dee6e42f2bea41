"""Checks of a command line for what neither jsonargparse nor Lightning refuses."""

import re
from typing import Any

from jsonargparse import Namespace

from convblocks.command_line import MOST_THREADS
from convblocks.errors import UsageError
from convblocks.model.class_specs import CONSTANT, spans_the_run
from convblocks.settings.words import NO_LIMIT
from convblocks.text import Settings

ABOVE_0 = (
    "threads",
    "trainer.accumulate_grad_batches",
    "trainer.limit_train_batches",
    "trainer.limit_test_batches",
    "trainer.val_check_interval",
    "trainer.check_val_every_n_epoch",
)


def check(parsed: Namespace, given: Settings) -> None:
    """Raise a UsageError for the first value that is wrong.

    Args:
        parsed: The values of all options, in the types of the signatures.
        given: The settings as a person gave them, by full names.
    """
    for option in ABOVE_0:
        value = parsed.get(option)
        if isinstance(value, int | float) and not value > 0:
            raise UsageError(f"--{option} must be above 0, but is {value}")
    if parsed.threads > MOST_THREADS:
        raise UsageError(f"--threads must be at most {MOST_THREADS:,}, but is {parsed.threads:,}")
    most = parsed.trainer.gradient_clip_val or 0
    if most < 0:
        raise UsageError(f"--trainer.gradient_clip_val must be at least 0, but is {most}")
    if not 0 <= parsed.seed < 2**32:
        raise UsageError(f"--seed must be in 0..2^32-1, but is {parsed.seed}")
    root = str(parsed.trainer.default_root_dir or "")
    if "://" in root:
        raise UsageError(
            f"--trainer.default_root_dir {root}: runs are written to a disk, local or mounted; "
            "a ModelCheckpoint of your own may write there"
        )
    if parsed.get("data.root") is None and given.get("data.root") is not None:
        raise UsageError(
            f"--data.root {given['data.root']} means no value in YAML: give the path of a folder"
        )
    _check_length(parsed)


def _check_length(parsed: Namespace) -> None:
    epochs = parsed.trainer.max_epochs
    steps = parsed.trainer.max_steps
    time = parsed.trainer.max_time
    is_limited = steps > 0 or time is not None
    if time is not None and not _is_above_0(time):
        raise UsageError("--trainer.max_time must be above 0")
    least = NO_LIMIT if is_limited else 1
    if epochs < least or 0 in (epochs, steps):
        raise UsageError(
            "--epochs and --trainer.max_steps must be at least 1; -1 is no limit, for one of them"
        )
    schedule = parsed.get("model.lr_scheduler") or parsed.get("lr_scheduler") or CONSTANT
    if epochs == steps == NO_LIMIT and spans_the_run(schedule):
        raise UsageError("a schedule over the whole run needs --epochs or --trainer.max_steps")


def _is_above_0(time: Any) -> bool:
    """A duration as Lightning takes it: text, a timedelta, or units with numbers."""
    if isinstance(time, str):
        return bool(re.search("[1-9]", time))
    return any(time.values() if isinstance(time, dict) else [time.total_seconds()])

"""Checks of a command line for what neither jsonargparse nor Lightning refuses."""

from jsonargparse import Namespace

from convblocks.errors import UsageError
from convblocks.model.class_specs import CONSTANT, spans_the_run
from convblocks.run.parser import NO_LIMIT

ABOVE_0 = (
    "threads",
    "trainer.accumulate_grad_batches",
    "trainer.limit_train_batches",
    "trainer.limit_test_batches",
)


def check(parsed: Namespace) -> None:
    """Raise a UsageError for the first that is wrong."""
    for option in ABOVE_0:
        value = parsed[option]
        if isinstance(value, int | float) and not value > 0:
            raise UsageError(f"--{option} must be above 0, but is {value}")
    if not 0 <= parsed.seed < 2**32:
        raise UsageError(f"--seed must be in 0..2^32-1, but is {parsed.seed}")
    if parsed.trainer.fast_dev_run:
        raise UsageError(
            "--trainer.fast_dev_run is not supported: "
            "give --check_resume, which tries all loops out"
        )
    _check_length(parsed)


def _check_length(parsed: Namespace) -> None:
    epochs = parsed.trainer.max_epochs
    steps = parsed.trainer.max_steps
    is_limited = steps > 0 or parsed.trainer.max_time is not None
    least = NO_LIMIT if is_limited else 1
    if epochs < least or 0 in (epochs, steps):
        raise UsageError(
            "--epochs and --trainer.max_steps must be at least 1; -1 is no limit, for one of them"
        )
    schedule = parsed.get("model.lr_scheduler") or CONSTANT
    if epochs == steps == NO_LIMIT and spans_the_run(schedule):
        raise UsageError("a schedule over the whole run needs --epochs or --trainer.max_steps")

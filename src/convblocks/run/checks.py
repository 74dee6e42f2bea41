"""Checks of a parsed command line of ``fit`` that neither jsonargparse nor Lightning makes."""

from contextlib import suppress

import jsonargparse
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Timer

from convblocks.errors import UsageError
from convblocks.model.class_specs import spans_the_run
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.judge import Judge
from convblocks.run.parser import LINKS, OF_IMAGES, OWN, class_spec, parser

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

ONE_OF_BOTH = "--arch is for networks that classify images, --model for LightningModules: give one of them"
NEEDS_MODEL = "--judge and --datamodule are for a LightningModule of your own: give it as --model"
NEEDS_JUDGE = "--model needs the metric to judge it by, and its direction: give, for example, --judge val/loss:min"

NAME_IS_NEEDED = "--resume needs the --name of the run, for example --name maxpool/version_0"


def check(parsed: jsonargparse.Namespace) -> None:
    """Raise a UsageError for options that are out of range, incompatible, or not supported by this project."""
    _check_ranges(parsed)
    _check_combinations(parsed)


def _check_ranges(parsed: jsonargparse.Namespace) -> None:
    """Raise a UsageError for a number out of range."""
    if parsed.trainer.log_every_n_steps is None:
        raise UsageError("--trainer.log_every_n_steps must be at least 1, but is null")
    numbers = {option: parsed[option] for option in RANGES if isinstance(parsed[option], int | float)}
    for option, number in numbers.items():
        bound, is_allowed = RANGES[option]
        if not (number > bound or (is_allowed and number == bound)):
            raise UsageError(f"--{option} must be {'at least' if is_allowed else 'above'} {bound}, but is {number}")
    if parsed.threads > MOST_THREADS:
        raise UsageError(f"--threads must be at most {MOST_THREADS:,}, but is {parsed.threads:,}")
    if not 0 <= parsed.seed < 2**32:
        raise UsageError(f"--seed must be in 0..2^32-1, but is {parsed.seed}")
    with suppress(MisconfigurationException, TypeError):  # Lightning itself refuses what is not a time
        if parsed.trainer.max_time is not None and not (Timer(parsed.trainer.max_time).time_remaining() or 0) > 0:
            raise UsageError("--trainer.max_time must be above 0")


def _check_combinations(parsed: jsonargparse.Namespace) -> None:
    """Raise a UsageError for incompatible options, and for those that this project does not support."""
    is_limited = parsed.trainer.max_steps > 0 or parsed.trainer.max_time is not None
    if parsed.epochs < 1 and not (parsed.epochs == NO_LIMIT and is_limited):
        raise UsageError(f"--epochs must be at least 1, but is {parsed.epochs}")
    steps_are_unknown = parsed.epochs == NO_LIMIT and parsed.trainer.max_steps == -1
    if steps_are_unknown and spans_the_run(class_spec("lr_scheduler", parsed)):
        raise UsageError(
            "a schedule over the whole run needs --epochs or --trainer.max_steps: with max_time its steps are unknown"
        )
    if parsed.trainer.max_steps == 0:
        raise UsageError("--trainer.max_steps must be at least 1, or -1 for no limit")
    if parsed.model is None and parsed.arch is None:
        raise UsageError(f"--arch is required: choose one of {', '.join(ARCHITECTURES)}, or give a class as --model")
    if parsed.model is not None and parsed.arch is not None:
        raise UsageError(ONE_OF_BOTH)
    if parsed.model is None and (parsed.judge is not None or parsed.datamodule is not None):
        raise UsageError(NEEDS_MODEL)
    for option in OWN:
        if parsed[option] is None and parsed[f"{option}_arguments"]:
            raise UsageError(f"--{option}.{min(parsed[f'{option}_arguments'])} needs the class, --{option}")
    if parsed.model is not None:
        _check_own_model(parsed)
    if parsed.resume and parsed.name is None:
        raise UsageError(NAME_IS_NEEDED)
    if parsed.trainer.barebones:
        raise UsageError("--trainer.barebones is not supported: it turns off all that a run directory holds")


def _check_own_model(parsed: jsonargparse.Namespace) -> None:
    """Refuse options that a LightningModule of the user's own would ignore, and a missing judge."""
    if parsed.judge is None:
        raise UsageError(NEEDS_JUDGE)
    Judge.parse(parsed.judge)
    defaults = parser().get_defaults()
    for option in OF_IMAGES:
        if option != "data" and parsed[option] != defaults[option]:
            raise UsageError(f"--{option} has no effect with --model, whose own arguments are --model.KEY")
    links = {target.removeprefix("data.") for target in LINKS.values()}
    for option, value in vars(parsed.data).items():
        if option not in links and value != defaults.data.get(option):
            raise UsageError(f"--data.{option} has no effect with --model: arguments of its data are --datamodule.KEY")

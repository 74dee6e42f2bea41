"""The Trainer of a run, made from its configuration."""

import sys
from collections.abc import Sequence

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar

from convblocks.errors import UsageError
from convblocks.run.parts import Parts
from convblocks.run.progress import RunProgress
from convblocks.text import Settings, as_list
from exact_resume.lightning_private import START_METHOD


def make_trainer(parts: Parts, changed: Settings, callbacks: Sequence[Callback]) -> Trainer:
    """The Trainer, with a progress bar on a terminal, and lines elsewhere.

    Args:
        parts: The parts of the run.
        changed: Arguments in place of those of the settings: ``plugins``, which come before
            the user's; the loggers, in plain values; others.
        callbacks: The callbacks that come before the user's.

    Raises:
        UsageError: an unknown class, or options that Lightning refuses.
    """
    try:
        trainer = Trainer(**_arguments(parts, changed, callbacks))
    except (
        MisconfigurationException,
        ModuleNotFoundError,
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:
        parts.config.parser.error(str(error), error)
    # ddp_spawn, ddp_fork, ddp_notebook
    if START_METHOD.of(trainer.strategy, "popen") != "popen":
        raise UsageError(
            "processes that Lightning spawns or forks are not supported: "
            "give --trainer.strategy ddp"
        )
    return trainer


def _arguments(parts: Parts, changed: Settings, callbacks: Sequence[Callback]) -> Settings:
    config = parts.config
    logger = changed.get("logger", config.settings["trainer"].get("logger"))
    arguments = config.arguments("trainer", logger=logger)
    users = as_list(arguments.get("callbacks"))
    has_bar = any(isinstance(callback, ProgressBar) for callback in users)
    shows_progress = arguments.get("enable_progress_bar") is not False
    if shows_progress and not has_bar:
        users.insert(0, RunProgress(is_live=sys.stdout.isatty()))
    if getattr(parts.data, "shares_batches", False):
        arguments["use_distributed_sampler"] = False
    logger = arguments.get("logger")
    return (
        arguments
        | changed
        | {
            "default_root_dir": config.root,
            "logger": False if logger in (None, True) else logger,  # ours comes later
            "enable_progress_bar": shows_progress or has_bar,
            # Lightning would take None, as in a config, to mean its own default.
            "enable_model_summary": bool(arguments.get("enable_model_summary")),
            "sync_batchnorm": False,  # done without Lightning, on any device
            "callbacks": [*callbacks, *users],
            "plugins": [*changed["plugins"], *as_list(arguments.get("plugins"))],
        }
    )

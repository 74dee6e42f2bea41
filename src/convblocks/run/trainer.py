"""The Trainer of a run."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ProgressBar

from convblocks.errors import UsageError
from convblocks.run.config import Config
from convblocks.run.progress import Bar


def make_trainer(
    config: Config, root: Path, callbacks: Sequence[Callback] = (), arguments: Mapping[str, Any] | None = None
) -> Trainer:
    """The Trainer of a config, with further callbacks, and a progress bar on a terminal.

    Args:
        config: With the user's own callbacks, loggers and so on.
        root: The Trainer's folder.
        callbacks: Those before the user's.
        arguments: Further ``plugins``, ``use_distributed_sampler``, false where the loaders share batches themselves,
            and ``logger``: the user's loggers as parsed, without the one that every run has. Without it there are none.

    Raises:
        UsageError: an unknown class, or options that Lightning refuses.
    """
    parsed, arguments = config.parsed.trainer.clone(), arguments or {}
    parsed.logger = arguments.get("logger", False)
    try:
        options = config.parser.instantiate(Namespace(trainer=parsed)).trainer.as_dict()  # type: ignore[no-untyped-call]
        further = _as_list(options["callbacks"])
        has_bar = any(isinstance(callback, ProgressBar) for callback in further)
        show_bar = options["enable_progress_bar"] is not False and sys.stdout.isatty()
        bar = [Bar()] if show_bar and not has_bar else []
        shares = options["use_distributed_sampler"] and arguments.get("use_distributed_sampler", True)
        options |= {
            "default_root_dir": root,
            "logger": options["logger"] if options["logger"] not in (None, True) else False,
            "enable_progress_bar": show_bar or has_bar,
            "enable_model_summary": False,  # fit prints its own
            "sync_batchnorm": False,  # done without Lightning, on any device
            "use_distributed_sampler": shares,
            "callbacks": [*callbacks, *bar, *further],
            "plugins": [*arguments.get("plugins", ()), *_as_list(options["plugins"])],
        }
        trainer = Trainer(**options)
    except (MisconfigurationException, ModuleNotFoundError, ValueError, TypeError, RuntimeError) as error:
        raise UsageError(" ".join(str(error).split())) from error
    if getattr(trainer.strategy, "_start_method", "popen") != "popen":  # ddp_spawn, ddp_fork, ddp_notebook
        raise UsageError("processes that Lightning spawns or forks are not supported: give --trainer.strategy ddp")
    return trainer


def _as_list(value: Any) -> list[Any]:
    """A list, from an option that may be a list, a single value or None."""
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]

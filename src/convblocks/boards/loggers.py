"""Loggers that a user adds to TensorBoard's: a resumed run continues their curves."""

import json
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers import Logger

from convblocks.files import machine_lock, write

# The argument of each logger's class that continues an earlier run; others begin a new one.
RUN_ARGUMENTS = {"MLFlowLogger": "run_id", "TensorBoardLogger": "version", "WandbLogger": "id"}


def begin(loggers: list[Logger], path: Path, hyperparameters: dict[str, Any]) -> None:
    """Log the settings to each logger, which starts its run, and save the ids of these runs."""
    with machine_lock("loggers"):  # two that start at once could create tables twice
        for logger in loggers:
            logger.log_hyperparams(hyperparameters)
    write(path, json.dumps([logger.version for logger in loggers]) + "\n")


def with_runs(given: Any, path: Path) -> Any:
    """The parsed value of ``--trainer.logger``, with the runs whose ids ``begin`` has saved.

    A resume with other loggers than the run's is refused later, as with any other setting.
    """
    if not path.is_file():
        return given
    loggers = given if isinstance(given, list) else [given]
    runs = zip(loggers, json.loads(path.read_text()), strict=False)
    return [_with_run(logger, run) for logger, run in runs if isinstance(logger, Namespace)]


def _with_run(logger: Namespace, run: Any) -> Namespace:
    argument = RUN_ARGUMENTS.get(logger.class_path.rpartition(".")[2])
    continued = logger.clone()
    if argument is not None:
        continued.init_args[argument] = run
    return continued

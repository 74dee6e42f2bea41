"""Loggers that a user adds to TensorBoard's: a resumed run continues their curves."""

import csv
import json
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from convblocks.errors import UserError
from convblocks.files import machine_lock, write

# The argument of each logger's class that continues an earlier run.
RUN_ARGUMENTS = {"CSVLogger": "version", "MLFlowLogger": "run_id", "TensorBoardLogger": "version", "WandbLogger": "id"}


def with_runs(given: Any, runs: list[Any]) -> Any:
    """The parsed value of ``--trainer.logger``, with the runs that the loggers continue."""
    loggers = given if isinstance(given, list) else [given]
    if not runs or not all(isinstance(logger, Namespace) for logger in loggers):
        return given
    if len(runs) != len(loggers):
        raise UserError(f"the run was begun with {len(runs)} loggers, not {len(loggers)}: resume it with its own")
    return [_with_run(logger, run) for logger, run in zip(loggers, runs, strict=True)]


def read_runs(path: Path) -> list[Any]:
    """The ids that the loggers gave to a run, None for loggers without one.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        runs = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        runs = None
    if not isinstance(runs, list):
        raise UserError(f"{path} is damaged: restore it, or delete it to begin new runs of the loggers")
    return runs


def begin(loggers: list[Logger], path: Path, hyperparameters: dict[str, Any]) -> None:
    """Log the settings to each logger, which starts its run, and save the ids of these runs."""
    with machine_lock("loggers"):  # two that start at once could create tables twice
        for logger in loggers:
            logger.log_hyperparams(hyperparameters)
    runs = [logger.version if type(logger).__name__ in RUN_ARGUMENTS else None for logger in loggers]
    write(path, json.dumps(runs) + "\n")


def continue_runs(loggers: list[Logger], hyperparameters: dict[str, Any], first_step: int) -> None:
    """Restore the rows that loggers wrote before ``first_step``, the first step to be logged again."""
    for logger in loggers:
        if isinstance(logger, CSVLogger):  # the others keep their rows; this one deletes its file when it starts
            rows = _read_rows(Path(logger.log_dir) / ExperimentWriter.NAME_METRICS_FILE)
            logger.log_hyperparams(hyperparameters)
            for step, metrics in rows:
                if step < first_step:
                    logger.log_metrics(metrics, step)
            logger.save()


def _with_run(logger: Namespace, run: Any) -> Namespace:
    argument = RUN_ARGUMENTS.get(logger.class_path.rpartition(".")[2])
    continued = logger.clone()
    if argument is not None:
        continued.init_args[argument] = run
    return continued


def _read_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    if not path.is_file():
        return []
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [(int(row.pop("step")), {name: json.loads(value) for name, value in row.items() if value}) for row in rows]

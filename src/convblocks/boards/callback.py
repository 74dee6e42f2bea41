"""TensorBoard's tags and final values, and further loggers whose curves a resumed run continues."""

import json
import sys
import threading
from copy import deepcopy
from typing import Any

from convblocks.boards.tensorboard import RunTensorBoardLogger
from convblocks.files import machine_lock
from convblocks.record.directory import RunDirectory
from convblocks.record.result import RunResult
from convblocks.run.callbacks import Added, RunCallback
from convblocks.run.parts import Parts
from convblocks.run.run import Run
from convblocks.settings.words import full_name
from convblocks.text import Settings, as_list, flatten
from exact_resume.files import write

# The argument of each logger's class that continues an earlier run; others begin a new one.
RUN_ARGUMENTS = {"MLFlowLogger": "run_id", "TensorBoardLogger": "version", "WandbLogger": "id"}

# Settings that are shown for every run.
COMPARED = {"--data.batch_size", "--model.lr", "--model.lr_scheduler", "--seed"}

# The module of the thread that writes for TensorBoard.
WRITER = "tensorboard.summary.writer.event_file_writer"

_show_error = threading.excepthook


def make(parts: Parts) -> Added:
    """The callback of every run. On a resume, the loggers that a user has added continue
    their own runs, whose ids this run has saved.

    Other loggers than those that the run began with are refused later, as any changed setting.
    """
    config = parts.config
    chosen = deepcopy(config.settings["trainer"].get("logger"))
    saved = RunDirectory(config.name, config.root).loggers if config.name else None
    if config.resume and saved and saved.is_file():
        identities = json.loads(saved.read_text())
        for logger, identity in zip(as_list(chosen), identities, strict=False):
            if isinstance(logger, dict):
                name = logger["class_path"].rpartition(".")[2]
                if name in RUN_ARGUMENTS:
                    logger.setdefault("init_args", {})[RUN_ARGUMENTS[name]] = identity
    threading.excepthook = _show_unless_of_tensorboard
    return Added(Boards(), {"logger": chosen})


class Boards(RunCallback):
    """Starts a run's loggers, and shows its result in TensorBoard."""

    def on_start(self, run: Run, *_: Any) -> None:
        """Start the loggers, TensorBoard's from the first step that is logged again,
        and save the others' ids.
        """
        added = [logger for logger in run.trainer.loggers if logger is not run.board]
        if run.board:
            run.board.__class__ = RunTensorBoardLogger  # which only adds methods
        saved = run.directory.loggers
        if run.is_rank_zero and added and not saved.is_file():
            # Two runs that start at once could create tables twice.
            with machine_lock("loggers"):
                for logger in added:
                    logger.log_hyperparams(flatten(run.settings))
            write(saved, json.dumps([logger.version for logger in added]) + "\n")

    def on_result(self, run: Run, result: RunResult) -> RunResult:
        """Write the values of the result to the board; return the result as it is."""
        if isinstance(run.board, RunTensorBoardLogger):
            hparams = {"arch": result.arch} | _chosen_settings(run)
            first = {result.judge.measured_in(result.final): result.score} if result.judge else {}
            final = first | dict(sorted(result.final.items()))
            run.board.log_results(hparams, final, int(result.epochs[-1]["step"]))
        return result


def _chosen_settings(run: Run) -> Settings:
    """The settings that people compare, that were given, or that differ from their defaults, by
    the last part of their names.
    """
    usual = flatten(run.config.parser.get_defaults().as_dict())
    given = COMPARED.union(full_name(word.partition("=")[0]) for word in sys.argv)
    return {
        name.rpartition(".")[2]: value
        for name, value in flatten(run.settings).items()
        if f"--{name}" in given or usual.get(name, value) != value
    }


def _show_unless_of_tensorboard(error: threading.ExceptHookArgs) -> None:
    """Show an error of a thread; that of TensorBoard's writer is the Trainer's at its
    next write.
    """
    if type(error.thread).__module__ != WRITER:
        _show_error(error)

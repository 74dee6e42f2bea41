"""Optuna's journal of a search: a file beside the trials, for any number of processes."""

import os
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna import Study
from optuna.pruners import MedianPruner, NopPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection

from convblocks.console import print_error
from convblocks.errors import UserError
from convblocks.run.judge import Judge
from convblocks.search.config import SearchConfig

JOURNAL = "journal.log"

# The study's name in the journal, and the key of the configuration.
STUDY, CONFIG = "search", "config"


class Journal(JournalFileBackend):
    """Optuna's journal file under our lock, which a killed process releases at once.

    A last line that a crash left unfinished, which would spoil the next one, is dropped with a warning.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        super().__init__(str(path), lock_obj=lock)  # type: ignore[arg-type]  # acquire returns more than a bool
        self.path = path
        self.lock = lock

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with self.lock:
            content = self.path.read_bytes()
            complete = content.rfind(b"\n") + 1
            if complete < len(content):
                print_error(f"{self.path}: dropped a truncated last line; the lost entry will be recomputed")
                os.truncate(self.path, complete)
            super().append_logs(logs)


def open_study(config: SearchConfig, judge: Judge, lock: FileLock) -> Study:
    """The study of a search, new or continued.

    Args:
        config: Of the search.
        judge: The metric of its trials.
        lock: Held by this process, and by every process that writes.

    Raises:
        UserError: the search was begun with other options.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(Journal(config.directory.path / JOURNAL, lock))
    if not optuna.get_all_study_names(storage):
        direction = StudyDirection.MAXIMIZE if judge.sign > 0 else StudyDirection.MINIMIZE
        optuna.create_study(storage=storage, study_name=STUDY, direction=direction)
    pruner = MedianPruner() if config.pruner == "median" else NopPruner()
    study, now = optuna.load_study(storage=storage, study_name=STUDY, pruner=pruner), config.words()
    began = study.user_attrs.get(CONFIG, now)
    if set(now) != set(began):
        was, new = (" ".join(sorted({*words} - {*others})) for words, others in ((began, now), (now, began)))
        hint = "carry on with that, or choose another --name"
        raise UserError(f"{config.directory.path} was begun with {was or 'less'}, not {new or 'less'}: {hint}")
    if CONFIG not in study.user_attrs:
        study.set_user_attr(CONFIG, now)
    return study

"""Optuna's journal file: opened, repaired after a crash, and refused if damaged or of another search."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import optuna
from filelock import FileLock
from optuna import Study
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection

from convblocks.console import print_error
from convblocks.errors import UserError

# The key of the configuration in the journal, and the study's name there.
CONFIG = "config"
STUDY = "search"


class JournalLock:
    """A lock of the operating system, which a killed process releases: Optuna's own would stay for ever.

    Args:
        path: The journal. A partial last line, left by a crash of its machine, is dropped before it is written to.
        lock: The lock.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self.lock = lock

    def acquire(self) -> bool:
        self.lock.acquire()
        if self.path.is_file():
            drop_partial_line(self.path)
        return True

    def release(self) -> None:
        self.lock.release()


def open_journal(
    path: Path, lock: FileLock, config: Mapping[str, str], direction: StudyDirection = StudyDirection.MAXIMIZE
) -> tuple[Study, BaseStorage]:
    """The study of a journal, new or continued, and its storage.

    Args:
        path: The file.
        lock: Held by this process, and by every process that writes.
        config: Everything that must be as it was when the search began.
        direction: Whether more or less is better.

    Raises:
        UserError: the file is damaged, or was begun with another configuration.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a regular file: choose another --name")
    journal = JournalFileBackend(str(path), lock_obj=JournalLock(path, lock))  # type: ignore[arg-type]  # not exported
    drop_partial_line(path)

    def read() -> BaseStorage:
        for last in path.read_bytes().splitlines()[-1:]:
            json.loads(last)  # Optuna skips an unreadable last line, and fails once more lines follow it
        return JournalStorage(journal)

    return open_study(read, STUDY, path, path.parent, config, direction)


def open_study(
    connect: Callable[[], BaseStorage],
    name: str,
    source: Path | str,
    folder: Path,
    config: Mapping[str, str],
    direction: StudyDirection,
) -> tuple[Study, BaseStorage]:
    """A study, new or continued, and its storage.

    Args:
        connect: Opens the storage.
        name: Of the study.
        source: The storage, for messages.
        folder: Of the search, for messages.
        config: Everything that must be as it was when the search began.
        direction: Whether more or less is better.

    Raises:
        UserError: the study is damaged, or was begun with another configuration.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = connect()
        names = [one.study_name for one in storage.get_all_studies()]
        if not names or (name != STUDY and name not in names):  # a journal has only its own
            optuna.create_study(storage=storage, study_name=name, direction=direction)
        study = optuna.load_study(storage=storage, study_name=name)
        began = dict(study.user_attrs.get(CONFIG, {}))
        for trial in study.get_trials(deepcopy=False):
            if trial.params.keys() != trial.distributions.keys():
                raise ValueError(f"trial {trial.number} lacks some of its settings")
            if not all(map(math.isfinite, [*(trial.values or []), *trial.intermediate_values.values()])):
                raise ValueError(f"trial {trial.number} has a score that is not a number")
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        hint = "restore it, or choose another --name"
        raise UserError(f"{source} is damaged ({' '.join(str(error).split()) or error!r}): {hint}") from error
    if not began and study.get_trials(deepcopy=False):
        raise UserError(f"{source} does not say with which options it was begun: choose another --name")
    if not began:
        study.set_user_attr(CONFIG, dict(config))
    elif changed := [name for name in (*config, *began) if config.get(name) != began.get(name)]:
        was, now = (one.get(changed[0], "nothing") for one in (began, config))
        hint = "carry on with that, or choose another --name"
        raise UserError(f"{folder} was begun with {changed[0]} {was}, not {now}: {hint}")
    return study, storage


def drop_partial_line(path: Path) -> None:
    """Cut off an unfinished last line, which would spoil the next one, and print a warning."""
    content = path.read_bytes()
    complete = content[: content.rfind(b"\n") + 1]
    if complete == content or not content.startswith(b"{"):
        return
    print_error(f"{path} ended in the middle of a line, which was dropped: its content is found out again")
    with path.open("r+b") as file:
        file.truncate(len(complete))
        os.fsync(file.fileno())

"""Optuna's journal file: opened, mended after a crash, and refused where it is damaged or of another search."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna import Study
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from convblocks.console import print_error
from convblocks.errors import UserError

# Under which the journal keeps what makes the search, and what the study is called in it.
PLAN = "plan"
STUDY = "search"


class Journal(JournalFileBackend):
    """Optuna's file, behind a lock of the system's own: Optuna's, a link, bars all others when its process is killed.

    Args:
        path: The file, made if it is missing.
        lock: Held while a line is written.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        super().__init__(str(path))
        self.path = path
        self.lock = lock

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write a line for each event; what another machine that died has left of one is dropped before."""
        lines = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in logs)
        with self.lock:
            drop_what_was_cut(self.path)
            with self.path.open("ab") as file:
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())


def open_journal(path: Path, lock: FileLock, plan: Mapping[str, str]) -> tuple[Study, JournalStorage]:
    """The study of a journal, new or one that goes on, and where it is kept.

    Args:
        path: The file.
        lock: Held by this process; whoever writes must hold it.
        plan: All that must be as it was when the search began.

    Raises:
        UserError: the file is damaged, or was begun with another plan.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = Journal(path, lock)
    drop_what_was_cut(path)
    try:
        for last in path.read_bytes().splitlines()[-1:]:
            json.loads(last)  # Optuna passes over what it cannot read there, and stumbles once more has been written
        storage = JournalStorage(journal)
        if not storage.get_all_studies():
            optuna.create_study(storage=storage, study_name=STUDY, direction="maximize")
        study = optuna.load_study(storage=storage, study_name=STUDY)
        began = dict(study.user_attrs.get(PLAN, {}))
        for trial in study.get_trials(deepcopy=False):
            if trial.params.keys() != trial.distributions.keys():
                raise ValueError(f"trial {trial.number} lacks some of what was chosen")
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        what_to_do = "put it back as it was, or choose another --name"
        raise UserError(f"{path} is damaged ({' '.join(str(error).split()) or error!r}): {what_to_do}") from error
    if not began:
        study.set_user_attr(PLAN, dict(plan))
    elif changed := [name for name in (*plan, *began) if plan.get(name) != began.get(name)]:
        was, now = (one.get(changed[0], "nothing") for one in (began, plan))
        what_to_do = "go on with that, or choose another --name"
        raise UserError(f"{path.parent} was begun with {changed[0]} {was}, not {now}: {what_to_do}")
    return study, storage


def drop_what_was_cut(path: Path) -> None:
    """Cut off a last line that was never finished, and say so: what follows would become a part of it."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read() in (b"", b"\n"):
            return
        print_error(f"{path} ended in the middle of a line, which was dropped: what it told is found out again")
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        os.fsync(file.fileno())

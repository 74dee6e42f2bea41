"""Where Optuna keeps the choices of a search: a journal beside the trials, or a database."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
from filelock import FileLock
from optuna import Study
from optuna.exceptions import StorageInternalError
from optuna.pruners import MedianPruner, NopPruner
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from convblocks.console import print_error
from convblocks.errors import UserError
from convblocks.run.judge import Judge
from convblocks.search.config import SearchConfig

JOURNAL = "journal.log"

CONNECT_SECONDS = 5

# The study's name in a journal, and the key of the configuration.
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
        UserError: the search was begun with other options or another storage.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder, name, now = config.directory.path, config.name if config.storage else STUDY, config.words()
    hint = "carry on with that, or choose another --name"
    storage = connect(config.storage) if config.storage else JournalStorage(Journal(folder / JOURNAL, lock))
    if config.storage:
        # A database may be shared, but trials belong to the processes that hold locks in the folder.
        now.append(f"the folder {folder.resolve()}")
    if name not in optuna.get_all_study_names(storage):
        if config.trial(0, {}).run.exists():
            raise UserError(f"{folder} has trials of another --storage, or none: {hint}")
        direction = StudyDirection.MAXIMIZE if judge.sign > 0 else StudyDirection.MINIMIZE
        optuna.create_study(storage=storage, study_name=name, direction=direction)
    pruner = MedianPruner() if config.pruner == "median" else NopPruner()
    study = optuna.load_study(storage=storage, study_name=name, pruner=pruner)
    began = study.user_attrs.get(CONFIG, [] if study.get_trials(deepcopy=False) else now)
    if set(now) != set(began):
        was, new = (" ".join(sorted({*words} - {*others})) for words, others in ((began, now), (now, began)))
        raise UserError(f"{folder} was begun with {was or 'less'}, not {new or 'less'}: {hint}")
    if CONFIG not in study.user_attrs:
        study.set_user_attr(CONFIG, now)
    return study


def connect(url: str) -> BaseStorage:
    """A database, by its URL as SQLAlchemy takes it, or ``grpc://HOST:PORT`` of Optuna's proxy.

    Raises:
        UserError: the URL is not valid, a driver is missing, or the proxy does not answer.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is experimental, and of parameters without effect
            if not url.startswith("grpc://"):
                # Trials take minutes: an idle connection could be cut, and a server has not many for all processes.
                return RDBStorage(url, engine_kwargs={"poolclass": NullPool})
            address = urlsplit(url)
            proxy = GrpcStorageProxy(host=address.hostname or "localhost", port=address.port or 13000)
        proxy.wait_server_ready(CONNECT_SECONDS)
        return proxy
    except ValueError as error:  # whose message may quote a part of the password
        raise UserError("--storage: give grpc://HOST:PORT, or a database's URL as SQLAlchemy takes it") from error
    except (ImportError, ConnectionError) as error:
        raise UserError(f"--storage: {str(error.__cause__ or '') or error}") from error


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turns errors of a storage, at any time, into a UserError of one line, and keeps passwords out of messages."""
    try:
        yield
    except UserError as error:
        error.args = (without_password(str(error)),)
        raise
    except Exception as error:
        from_grpc = type(error).__module__.startswith("grpc")
        if not from_grpc and not isinstance(error, SQLAlchemyError | StorageInternalError):
            raise
        reason = getattr(error, "details", str)() or error.__cause__ or error
        line = re.sub(r"[^\s'\"]*@", "***@", " ".join(str(reason).split()))
        raise UserError(f"--storage: {without_password(line)}") from error


def without_password(text: str) -> str:
    """A text with *** for the passwords of the URLs in it: they must be in no output, file or log."""
    return re.sub(r"(://[^:/@]*:).*@", r"\1***@", re.sub(r"((?:password|passwd|pwd)=)[^&\s]*", r"\1***", text))

"""Where Optuna keeps the choices of a search: a journal beside the trials, or one of its storages, by its URL."""

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
from filelock import FileLock
from optuna import Study
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy.pool import NullPool

from convblocks.console import print_error
from convblocks.errors import UserError
from convblocks.run.judge import Judge
from convblocks.search.config import SearchConfig

JOURNAL = "journal.log"

# The study's name in a journal, and the key of the configuration.
STUDY, CONFIG = "search", "config"

CONNECT_SECONDS = 5


class Journal(JournalFileBackend):
    """Optuna's journal file under our lock, which a killed process releases: Optuna's own would stay for ever.

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
                print_error(f"{self.path} ended in the middle of a line, which was dropped: it is found out again")
                os.truncate(self.path, complete)
            super().append_logs(logs)


def open_study(
    config: SearchConfig, judge: Judge, lock: FileLock, data: Mapping[str, str]
) -> tuple[Study, BaseStorage]:
    """The study of a search, new or continued, and its storage.

    Args:
        config: Of the search.
        judge: The metric of its trials.
        lock: Held by this process, and by every process that writes.
        data: The MD5 of each part of the images' data, by its name.

    Raises:
        UserError: the search was begun with other options, other data or another storage.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder, name = config.directory.path, config.name if config.storage else STUDY
    now = config.as_attributes() | {f"{part} of MD5": md5 for part, md5 in data.items()}
    if config.storage:
        # A database may be shared, but trials belong to the processes that hold locks in the folder.
        storage, now = connect(config.storage), {"the folder": str(folder.resolve())} | now
    else:
        storage = JournalStorage(Journal(folder / JOURNAL, lock))
    if name not in [found.study_name for found in storage.get_all_studies()]:
        if config.trial(0, {}).run.exists():
            raise UserError(
                f"{folder} has trials of another --storage, or none: carry on with that, or choose another --name"
            )
        optuna.create_study(storage=storage, study_name=name, direction=direction_of(judge))
    study = optuna.load_study(storage=storage, study_name=name)
    began = study.user_attrs.get(CONFIG, {} if study.get_trials(deepcopy=False) else None)
    if began is None:
        study.set_user_attr(CONFIG, now)
    elif changed := [option for option in (*now, *began) if now.get(option) != began.get(option)]:
        was, new = (options.get(changed[0], "nothing") for options in (began, now))
        hint = "carry on with that, or choose another --name"
        raise UserError(f"{folder} was begun with {changed[0]} {was}, not {new}: {hint}")
    return study, storage


def direction_of(judge: Judge) -> StudyDirection:
    """Of Optuna's studies."""
    return StudyDirection.MAXIMIZE if judge.sign > 0 else StudyDirection.MINIMIZE


def connect(url: str) -> BaseStorage:
    """A storage of Optuna: ``grpc://HOST:PORT`` of its proxy, or else the URL of a database, as SQLAlchemy takes it.

    Raises:
        UserError: there is no such storage, or it does not answer.
    """
    with storage_errors(ImportError, ValueError, RuntimeError, ConnectionError):
        address = urlsplit(url)
        if address.scheme != "grpc":
            # Trials take minutes: an idle connection could be cut, and a server has not many for all processes.
            return RDBStorage(url, engine_kwargs={"poolclass": NullPool})
        if not address.hostname or not address.port:
            raise ValueError("give grpc://HOST:PORT, such as grpc://localhost:13000")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            proxy = GrpcStorageProxy(host=address.hostname, port=address.port)
        proxy.wait_server_ready(CONNECT_SECONDS)
        return proxy


@contextmanager
def storage_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Turns errors of a database or proxy, at any time, into one line, and keeps passwords out of every message.

    Args:
        kinds: Further errors that come from the storage here.

    Raises:
        UserError: there was one.
    """
    try:
        yield
    except UserError as error:
        error.args = (without_password(str(error)),)
        raise
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        if package not in ("sqlalchemy", "grpc") and not isinstance(error, (StorageInternalError, *kinds)):
            raise
        cause = error.__cause__ or error
        reason = (
            getattr(cause, "details", str)() or getattr(cause, "orig", None) or str(cause) or error
        )  # the details are of gRPC
        line = re.sub(r"[^\s'\"]*@", "***@", " ".join(str(reason).split()))
        raise UserError(f"--storage: {without_password(line)}") from error


def without_password(text: str) -> str:
    """A text with *** for the passwords of the URLs in it: they must be in no output, file or log."""
    return re.sub(r"(://[^:/@]*:).*@", r"\1***@", re.sub(r"(password=)[^&\s]*", r"\1***", text))

"""Optuna's own storages in place of the journal: a database, or the gRPC proxy before one."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from filelock import FileLock
from optuna import Study
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage
from sqlalchemy.pool import NullPool

from convblocks.errors import UsageError, UserError
from convblocks.search.config import SearchConfig
from convblocks.search.journal import open_journal, open_study

PROXY = "grpc"
CONNECT_SECONDS = 5


def open_search(config: SearchConfig, lock: FileLock, began: Mapping[str, str]) -> tuple[Study, BaseStorage]:
    """The study of a search, new or continued, and its storage.

    Args:
        config: Of the search.
        lock: Held by this process, and by every process that writes.
        began: Everything that must be as it was when the search began.

    Raises:
        UserError: the journal or storage cannot be used, or is of another search.
    """
    folder = config.directory().path
    if (config.journal() if config.storage else config.storage_mark()).exists():
        how = "without --storage" if config.storage else "with --storage"
        raise UserError(f"{folder} was begun {how}: carry on with that, or choose another --name")
    if not config.storage:
        return open_journal(config.journal(), lock, began, config.direction)
    # A database may be shared, but trials belong to the processes that hold locks in the folder.
    began = {"the folder": str(folder.resolve())} | dict(began)
    source = f"study {config.name}"
    opened = open_study(lambda: connect(config.storage), config.name, source, folder, began, config.direction)
    config.storage_mark().touch()
    return opened


def connect(url: str) -> BaseStorage:
    """A storage of Optuna: ``grpc://HOST:PORT`` of its proxy, or else the URL of a database, as SQLAlchemy takes it.

    Raises:
        UsageError: another kind of URL.
        UserError: the proxy does not answer, a driver is missing, or the database is of another version of Optuna.
    """
    try:
        address = urlsplit(url)
        if address.scheme != PROXY:
            # Trials take minutes: an idle connection could be cut, and a server has not many for all processes.
            return RDBStorage(url, engine_kwargs={"poolclass": NullPool})
        if not address.hostname or not address.port:
            raise UsageError("--storage must be grpc://HOST:PORT, such as grpc://localhost:13000")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            proxy = GrpcStorageProxy(host=address.hostname, port=address.port)
        proxy.wait_server_ready(CONNECT_SECONDS)
        return proxy
    except ImportError as error:
        reason = error.__cause__ or error
        raise UserError(
            f"--storage: a driver is missing ({reason}): install it with pip, see docs/manual/cluster.md"
        ) from error
    except ValueError as error:
        raise UsageError(f"--storage: {error}") from error
    except ConnectionError as error:
        raise UserError(f"--storage: no proxy of Optuna answers at {address.netloc}") from error
    except RuntimeError as error:
        raise UserError(f"--storage: {_one_line(error)}") from error


def without_password(word: str) -> str:
    """A word of a command line, with *** for the password of a URL: reports show the command."""
    return re.sub(r"(://[^/@:]*:)[^/@]*@", r"\1***@", word)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turns errors of a database or proxy, at any time, into one line.

    Raises:
        UserError: there was one.
    """
    try:
        yield
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        if package not in ("sqlalchemy", "grpc") and not isinstance(error, StorageInternalError):
            raise
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        details = getattr(cause, "details", str)()  # of gRPC
        reason = details or getattr(cause, "orig", None) or cause
        raise UserError(f"--storage: {_one_line(reason)}") from error


def _one_line(text: object) -> str:
    return " ".join(str(text).split())

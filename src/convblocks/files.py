"""Atomic writes: a file is complete or does not exist. And locks between the processes
of a user on one machine.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from filelock import FileLock


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name only once it is complete and on disk.

    Until then an earlier file of that name is unchanged, even after a kill or with a full disk.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    unfinished = path.with_name(
        f".{path.name}.{uuid4().hex[:12]}.tmp"
    )  # process ids may repeat on other nodes
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        if error.errno is not None:
            error.filename, error.filename2 = (
                str(path),
                None,
            )  # a full disk names no file, and no user knows the .tmp
        raise
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write(path: Path, content: str | bytes | memoryview) -> None:
    """Write a whole file at once."""
    with atomic_write(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def machine_lock(name: str | Path) -> FileLock:
    """A lock between this user's processes on this machine: other users' files could
    not be opened.
    """
    user = (
        os.getuid() if hasattr(os, "getuid") else ""
    )  # elsewhere each user has a temporary folder
    digest = hashlib.md5(os.fsencode(name), usedforsecurity=False).hexdigest()
    return FileLock(Path(tempfile.gettempdir()) / f"convblocks-{user}-{digest}.lock")


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files of killed processes; no other process may be writing
    to the folder.
    """
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            path.unlink()

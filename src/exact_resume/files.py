"""Atomic writes: a file is complete or does not exist.

Lightning's own writer, fsspec, moves a temporary file to its place: across disks that
is a copy, which a kill can interrupt, and without fsync a crash can leave it empty.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name only once it is complete and on disk.

    Until then an earlier file of that name is unchanged, even after a kill or with a
    full disk.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    unfinished = _unfinished(path)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        if error.errno is not None:
            # The error of a full disk names no file, or the temporary one, which no user knows.
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write(path: Path, content: str | bytes | memoryview) -> None:
    """Write a whole file at once."""
    with atomic_write(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def give_second_name(path: Path, name: Path) -> None:
    """Give a file a second name, by a hard link; a file that has the name is replaced. On a
    disk without hard links, a copy gets the name.
    """
    unfinished = _unfinished(name)
    try:
        os.link(path, unfinished)
    except OSError:
        write(name, path.read_bytes())
    else:
        unfinished.replace(name)


def _unfinished(path: Path) -> Path:
    """A temporary name beside the file's own, which the file gets once it is complete."""
    # Random, since ids of processes may repeat on another machine.
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files of killed processes; no other process may be writing
    to the folder.
    """
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            path.unlink()

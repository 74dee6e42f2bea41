"""Files that are whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name only once it is complete and on the disk.

    Whatever happens before, a kill or a full disk included, an earlier file of that name stays as it was.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")  # processes on two nodes may have one number
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        if error.errno is not None:
            error.filename, error.filename2 = str(path), None  # a full disk names none, and nobody knows the other one
        raise
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write(path: Path, content: str | bytes | memoryview) -> None:
    """Write a whole file at once."""
    with atomic_write(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes have left of files that they were writing; others must not be writing there."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            path.unlink()

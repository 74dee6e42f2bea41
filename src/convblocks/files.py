"""Locks between the processes of a user on one machine, and files that no command may
overwrite.
"""

import hashlib
import os
import tempfile
from collections.abc import Collection
from pathlib import Path

from filelock import FileLock

from convblocks.errors import UsageError


def machine_lock(name: str | Path) -> FileLock:
    """A lock between this user's processes on this machine: other users' files could
    not be opened.
    """
    # elsewhere each user has a temporary folder
    user = os.getuid() if hasattr(os, "getuid") else ""
    digest = hashlib.md5(os.fsencode(name), usedforsecurity=False).hexdigest()
    return FileLock(Path(tempfile.gettempdir()) / f"convblocks-{user}-{digest}.lock")


def refuse_to_overwrite(path: Path, read: Collection[Path]) -> None:
    """Raise a UsageError if a command would write over a file that it reads, or over a device."""
    if path.exists() and not path.is_file():
        raise UsageError(f"cannot write {path}: it is not a regular file")
    # Path.resolve raises at a link to itself.
    if os.path.realpath(path) in map(os.path.realpath, read):
        raise UsageError(f"this command reads {path}: give another name")

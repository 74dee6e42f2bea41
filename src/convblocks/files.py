"""Locks between the processes of a user on one machine."""

import hashlib
import os
import tempfile
from pathlib import Path

from filelock import FileLock


def machine_lock(name: str | Path) -> FileLock:
    """A lock between this user's processes on this machine: other users' files could
    not be opened.
    """
    # elsewhere each user has a temporary folder
    user = os.getuid() if hasattr(os, "getuid") else ""
    digest = hashlib.md5(os.fsencode(name), usedforsecurity=False).hexdigest()
    return FileLock(Path(tempfile.gettempdir()) / f"convblocks-{user}-{digest}.lock")

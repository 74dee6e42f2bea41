"""Faults at a chosen file operation: Python tells an audit hook of each one before it happens."""

import errno
import os
import resource
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any, Literal

Fault = Literal["none", "kill", "full disk", "denied"]

# Python's names for what changes a folder; replacing a file is told as renaming it.
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")

# What a full disk refuses.
NEEDS_SPACE = ("open", "os.mkdir", "os.rename")


def inject(fault: Fault, at: int, below: str, counter: Path) -> None:
    """From now on let the file operation of that number, from 0, go wrong.

    Args:
        fault: What happens: SIGKILL, which leaves a file that is just being put in place half written, a disk that is
            full for a moment, or a folder that is somebody else's from then on.
        at: Which operation, among those that write.
        below: Operations on other paths than those with this part do not count.
        counter: A file that gets a byte for each operation.
    """
    descriptor = os.open(counter, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    sys.addaudithook(partial(_Hook(fault, at, below, descriptor).hear))


def limit_files(size: int) -> None:
    """From now on let no file become larger, in bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


class _Hook:
    def __init__(self, fault: Fault, at: int, below: str, counter: int) -> None:
        self.fault, self.at, self.below, self.counter = fault, at, below, counter
        self.seen = 0

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._writes(event, arguments) or (self.fault == "full disk" and event not in NEEDS_SPACE):
            return
        os.write(self.counter, b".")
        number, self.seen = self.seen, self.seen + 1
        path = os.fsdecode(arguments[0])
        if self.fault == "denied" and number >= self.at >= 0:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
        if number != self.at:
            return
        if self.fault == "full disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if self.fault == "kill":
            if event == "os.rename" and path.endswith(".tmp"):
                os.truncate(path, os.stat(path).st_size // 2)  # noqa: PTH116  # a Path would be heard of too
            os.kill(os.getpid(), signal.SIGKILL)

    def _writes(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, mode, flags = arguments
            to_write = any(letter in mode for letter in "wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)
        else:
            path, to_write = (arguments[0], True) if event in CHANGES else (None, False)
        return bool(to_write) and isinstance(path, str | bytes | os.PathLike) and self.below in os.fsdecode(path)

"""Checkpoints that others write between two exact ones: a resume begins at an exact one,
so that it is as if they had not been written.

A user's ModelCheckpoint would otherwise find them, write ``step=9-v1.ckpt`` beside
``step=9.ckpt``, and no longer know the first one.
"""

import os
from collections.abc import Callable, Collection
from itertools import dropwhile, pairwise
from pathlib import Path
from pickletools import genops
from uuid import uuid4
from zipfile import BadZipFile, ZipFile

from lightning.fabric.utilities.cloud_io import get_filesystem

from exact_resume.files import write

# In checkpoints of others: the save after which they were written.
AFTER = "exact_resume_after"

# In the journal, before the name of an exact save.
SAVED = "saved "


class Journal:
    """Names the exact saves since the last end of an epoch and, once there are any, the
    checkpoints of others that were new after each, in a hidden file beside the exact one.

    Args:
        path: The exact checkpoint.

    Attributes:
        save: The name of the last exact save, or of the beginning.
    """

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self.file = path.with_name(f".{path.name}.journal")
        self.save = uuid4().hex

    def begin(self, save: str, keeps_earlier: bool = False) -> None:
        """An exact checkpoint has been written: by this name it is known in itself too.

        Args:
            save: The name.
            keeps_earlier: Whether the one before is still there.
        """
        self.save = save
        if self.file.is_file():
            earlier = self._lines() if keeps_earlier else []
            self._write([*earlier, f"{SAVED}{save}"])

    def note(self, path: str | Path) -> None:
        """Somebody is about to write a checkpoint; one that is there already stays."""
        if get_filesystem(path).exists(str(path)):
            return
        if not self.file.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write([f"{SAVED}{self.save}"])
        name = str(path)
        if "://" not in name:
            name = os.path.relpath(name, self.folder)  # the folder may be moved
        with self.file.open("a") as file:
            file.write(f"{name}\n")

    def saves_since(self, save: str) -> list[str]:
        """An exact save, and those after it."""
        lines = [*dropwhile(lambda line: line != f"{SAVED}{save}", self._lines())]
        later = [line.removeprefix(SAVED) for line in lines if line.startswith(SAVED)]
        return later or [save]

    def undo(self, save: str, remove: Callable[[str], None]) -> None:
        """A training begins at an exact checkpoint, or without one, which has no name:
        remove what was written since, if that is a known one.
        """
        lines, mark = self._lines(), f"{SAVED}{save}"
        known = lines.index(mark) + 1 if mark in lines else 0
        after = ""
        for number, line in enumerate(lines):
            if line.startswith(SAVED):
                after = line.removeprefix(SAVED)
            elif (known and number >= known) or not save:
                path = line if "://" in line else os.path.normpath(self.folder / line)
                if was_written_after([after], path):
                    remove(path)
        self.save = save or self.save
        if lines:
            self._write(lines[:known] or [f"{SAVED}{self.save}"])

    def _lines(self) -> list[str]:
        return self.file.read_text().splitlines() if self.file.is_file() else []

    def _write(self, lines: list[str]) -> None:
        write(self.file, "".join(f"{line}\n" for line in lines))


def was_written_after(saves: Collection[str], path: str) -> bool:
    """Whether a checkpoint says that it was written after one of these saves; another file may
    have taken its place. Its pickle is not loaded, only looked at.
    """
    try:
        with get_filesystem(path).open(path) as file, ZipFile(file) as archive:
            (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            words = [word for _, word, _ in genops(archive.read(pickled)) if isinstance(word, str)]
    except (OSError, BadZipFile, ValueError):
        return False
    return any((AFTER, save) in pairwise(words) for save in saves)

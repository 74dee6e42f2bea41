"""A record of the checkpoints that others write between two exact ones. A resume begins at
an exact one, and removes those that were written after it, as if they had never been.

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

# The key, in a checkpoint of others, of the name of the exact save that came before it.
AFTER = "exact_resume_after"

# Begins a line of the journal that names an exact save; other lines name files.
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
        """Called when an exact checkpoint has been written.

        Args:
            save: The name of the save, which the checkpoint holds too.
            keeps_earlier: Whether the exact checkpoint before it is still there.
        """
        self.save = save
        if self.file.is_file():
            earlier = self._lines() if keeps_earlier else []
            self._write([*earlier, f"{SAVED}{save}"])

    def note(self, path: str | Path) -> None:
        """Called when others are about to write a checkpoint: note it, unless it is there
        already, since then a resume must not remove it.
        """
        if get_filesystem(path).exists(str(path)):
            return
        if not self.file.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write([f"{SAVED}{self.save}"])
        name = str(path)
        if "://" not in name:
            name = os.path.relpath(name, self.folder)  # since the folder may be moved
        with self.file.open("a") as file:
            file.write(f"{name}\n")

    def saves_since(self, save: str) -> list[str]:
        """The name of an exact save, and of all after it."""
        lines = [*dropwhile(lambda line: line != f"{SAVED}{save}", self._lines())]
        later = [line.removeprefix(SAVED) for line in lines if line.startswith(SAVED)]
        return later or [save]

    def undo(self, save: str, remove: Callable[[str], None]) -> None:
        """Remove the checkpoints of others that were written after an exact save, if the
        journal knows the save.

        Args:
            save: The name of the save at which a training now begins; empty where it
                begins without a checkpoint.
            remove: Removes the checkpoint at a path.
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
    """True for a checkpoint that says in itself that it was written after one of these saves:
    meanwhile another file may have its name. Its pickle is only looked at, not loaded.
    """
    try:
        with get_filesystem(path).open(path) as file, ZipFile(file) as archive:
            (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            words = [word for _, word, _ in genops(archive.read(pickled)) if isinstance(word, str)]
    except (OSError, BadZipFile, ValueError):
        return False
    return any((AFTER, save) in pairwise(words) for save in saves)

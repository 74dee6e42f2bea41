"""Checkpoints that others write between two exact ones: a resume begins at an exact one,
so that it is as if they had not been written.

A user's ModelCheckpoint would otherwise find them, write ``step=9-v1.ckpt`` beside
``step=9.ckpt``, and no longer know the first one.
"""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from pickletools import genops
from uuid import uuid4
from zipfile import BadZipFile, ZipFile

from lightning.fabric.utilities.cloud_io import get_filesystem

from exact_resume.files import write

# In checkpoints of others: the save after which they were written.
AFTER = "exact_resume_after"


class Journal:
    """Names the checkpoints that are new since the last exact one, in a hidden file beside
    it, once there are any.

    Args:
        path: The exact checkpoint.

    Attributes:
        save: The name of the last exact one, or of the beginning.
    """

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self.file = path.with_name(f".{path.name}.journal")
        self.save = uuid4().hex

    def begin(self, save: str) -> None:
        """An exact checkpoint has been written: by this name it is known in itself too."""
        self.save = save
        if self.file.is_file():
            write(self.file, f"{save}\n")

    def note(self, path: str | Path) -> None:
        """Somebody is about to write a checkpoint; one that is there already stays."""
        if get_filesystem(path).exists(str(path)):
            return
        if not self.file.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            write(self.file, f"{self.save}\n")
        name = str(path)
        if "://" not in name:
            name = os.path.relpath(name, self.folder)  # the folder may be moved
        with self.file.open("a") as file:
            file.write(f"{name}\n")

    def undo(self, save: str, remove: Callable[[str], None]) -> None:
        """A training begins at an exact checkpoint, or without one, which has no name:
        remove what was written since, if that was the last one.
        """
        lines = self.file.read_text().splitlines() if self.file.is_file() else []
        last, *names = lines or [""]
        for name in names if last == save or not save else ():
            path = name if "://" in name else os.path.normpath(self.folder / name)
            if was_written_after(last, path):
                remove(path)
        self.begin(save or self.save)


def was_written_after(save: str, path: str) -> bool:
    """Whether a checkpoint says so; another file may have taken its place. Its pickle is
    not loaded, only looked at.
    """
    try:
        with get_filesystem(path).open(path) as file, ZipFile(file) as archive:
            (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            words = [word for _, word, _ in genops(archive.read(pickled)) if isinstance(word, str)]
    except (OSError, BadZipFile, ValueError):
        return False
    return (AFTER, save) in pairwise(words)

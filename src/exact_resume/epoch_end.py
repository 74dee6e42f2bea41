"""Keeps the last checkpoint of an epoch's end beside a later one within an epoch. A training
goes on from there if its loaders cannot give again what they gave.
"""

from contextlib import suppress
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from exact_resume.files import give_second_name


class EpochEnd:
    """A second file name for the exact checkpoint, in the same folder.

    Args:
        path: The exact checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.latest = path
        self.path = path.with_name(f"{path.stem}-epoch-end{path.suffix}")

    @rank_zero_only
    def keep(self) -> None:
        """Called when the exact checkpoint is one of an epoch's end, and about to be replaced:
        let the file have the second name.
        """
        give_second_name(self.latest, self.path)

    @rank_zero_only
    def drop(self) -> None:
        """Remove the second name, which is no longer needed."""
        self.path.unlink(missing_ok=True)

    def go_back(self) -> str:
        """Let the exact checkpoint be that of the epoch's end again, or remove it where no
        epoch has ended; return what a training now begins with.
        """
        with suppress(FileNotFoundError):
            self.path.replace(self.latest)
            return "the end of the last epoch"
        self.latest.unlink(missing_ok=True)
        return "its beginning"

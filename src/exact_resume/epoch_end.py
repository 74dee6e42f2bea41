"""The last checkpoint of an epoch's end, which stays beside one within an epoch: a training
whose loaders cannot give again what they gave goes on from there.
"""

from contextlib import suppress
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from exact_resume.files import give_second_name


class EpochEnd:
    """A second name of an exact checkpoint, beside it.

    Args:
        path: The exact checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.latest = path
        self.path = path.with_name(f"{path.stem}-epoch-end{path.suffix}")

    @rank_zero_only
    def keep(self) -> None:
        """The exact checkpoint is one of an epoch's end, and about to be replaced."""
        give_second_name(self.latest, self.path)

    @rank_zero_only
    def drop(self) -> None:
        """It is no longer needed."""
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

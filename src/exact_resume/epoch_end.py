"""The last checkpoint of an epoch's end, which stays beside one within an epoch: a training
whose loaders cannot give again what they gave goes on from there.
"""

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from lightning.pytorch.utilities import rank_zero_only


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
        linked = self.path.with_name(f".{self.path.name}.{uuid4().hex[:12]}.tmp")
        try:
            os.link(self.latest, linked)
        except OSError:  # a disk without links
            self.latest.replace(self.path)
        else:
            linked.replace(self.path)

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

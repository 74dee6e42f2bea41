"""Callbacks of every run, and what a callback of a wing may do beyond Lightning's hooks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from convblocks.run.judge import Judge
from convblocks.run.result import RunResult

if TYPE_CHECKING:
    from convblocks.run.parser import Settings
    from convblocks.run.run import Run


class RunCallback(Callback):
    """A callback that takes part in the start and the end of a run, in the order of ``CALLBACKS`` in ``wings.py``."""

    def on_start(self, run: "Run", checkpoint: dict[str, Any] | None) -> None:
        """Called in every process when the run directory is there, before the Trainer trains; it may change loggers.

        With the checkpoint that the run resumes from, if any.
        """

    def on_result(self, run: "Run", result: RunResult) -> RunResult:
        """The result with what this callback knows of the run; called in process 0 alone: collectives would hang.

        An error is raised once the others were called and summary.json is written.
        """
        return result

    def last_lines(self, run: "Run", result: RunResult) -> Sequence[str]:
        """Lines and commands to print below the result, in process 0."""
        return ()


class BestCheckpoint(ModelCheckpoint):
    """The checkpoint of the best evaluation; a subclass, to keep its state apart from a user's ModelCheckpoint."""

    def __init__(self, path: Path, monitor: Judge) -> None:
        super().__init__(
            path.parent,
            path.stem,
            monitor=monitor.metric,
            mode=monitor.direction,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score also where the run was renamed or moved, of which Lightning would forget it."""
        super().load_state_dict(state_dict | {"dirpath": self.dirpath})


class RunSettings(Callback):
    """Keeps the settings in every checkpoint: a resume recognises that of another run."""

    def __init__(self, settings: "Settings") -> None:
        self.settings = settings

    def state_dict(self) -> dict[str, Any]:
        return {"settings": self.settings}

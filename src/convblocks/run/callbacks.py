"""Callbacks of every run, and what a callback of a wing may do beyond Lightning's hooks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from convblocks.console import CommandLine
from convblocks.errors import UsageError
from convblocks.run.judge import Judge
from convblocks.run.result import RunResult

if TYPE_CHECKING:
    from convblocks.run.parser import Settings
    from convblocks.run.run import Run


class RunCallback(Callback):
    """A callback that takes part in the start and the end of a run, in the order of ``CALLBACKS`` in ``wings.py``."""

    # Whether it is there in a dev run too, which writes nothing.
    in_dev_runs = False

    def on_start(self, run: "Run", checkpoint: dict[str, Any] | None) -> None:
        """Called in every process when the run directory is there, before the Trainer trains.

        Args:
            run: The run, whose loggers may be changed.
            checkpoint: What it resumes from; None of a new run.
        """

    def on_result(self, run: "Run", result: RunResult) -> RunResult:
        """The result with what this callback knows of the run.

        Called in process 0 alone: collectives would hang. An error is raised once the others were called and
        summary.json is written.
        """
        return result

    def last_lines(self, run: "Run", result: RunResult) -> Sequence[str | CommandLine]:
        """Lines and commands to print below the result, in process 0."""
        return ()


class BestCheckpoint(ModelCheckpoint):
    """The checkpoint of the best evaluation; a subclass, to keep its state apart from a user's ModelCheckpoint."""

    def __init__(self, path: Path, judge: Judge) -> None:
        super().__init__(
            path.parent,
            path.stem,
            monitor=judge.metric,
            mode=judge.direction,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and self.monitor not in trainer.callback_metrics:
            logged = ", ".join(trainer.callback_metrics) or "nothing"
            who = f"{type(pl_module).__name__} logs no {self.monitor} when it is evaluated, but {logged}"
            raise UsageError(f"{who}: correct --judge, with another --name")
        super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score also where the run was renamed or moved, of which Lightning would forget it."""
        super().load_state_dict(state_dict | {"dirpath": self.dirpath})


class RunSettings(Callback):
    """Keeps settings and the data's fingerprint in every checkpoint: a resume recognises that of another run."""

    def __init__(self, settings: "Settings", data: LightningDataModule | None) -> None:
        self.settings = settings
        self.data = data

    def state_dict(self) -> dict[str, Any]:
        return {"settings": self.settings, "data": fingerprint_of(self.data)}


def fingerprint_of(data: LightningDataModule | None) -> dict[str, str]:
    """The MD5 of each part of the data; empty where the data have no ``fingerprint``."""
    fingerprint: dict[str, str] = getattr(data, "fingerprint", {})
    return fingerprint

"""Writes a run's own checkpoints without objects, so that these can be read safely."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from convblocks.console import echo
from convblocks.record.directory import RunDirectory
from convblocks.text import listed
from exact_resume.checkpoints import AtomicCheckpointIO
from exact_resume.keepers.values import is_plain

# The keys under which a checkpoint holds what save_hyperparameters has saved.
HYPER_PARAMETERS = ("hyper_parameters", "datamodule_hyper_parameters")


class RunCheckpointIO(AtomicCheckpointIO):
    """Writes a run's last.ckpt and best.ckpt without the hyper-parameters that are
    objects: config.yaml has the arguments that make them. Checkpoints of the user's own
    callbacks keep theirs.

    Args:
        others: The Trainer's plugin.
        directory: The run directory.
        model: The name of the module's class.
        weights_only: Whether what else is no plain value is an error.
    """

    def __init__(
        self, others: CheckpointIO, directory: RunDirectory, model: str, weights_only: bool
    ) -> None:
        last = directory.last_checkpoint.absolute()
        super().__init__(others, last, True, weights_only, trusting="--weights_only false")
        self.own = (last, directory.best_checkpoint.absolute())
        self.model = model
        self.said = False

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        if Path(path).absolute() in self.own:
            left_out: set[str] = set()
            for part in checkpoint.keys() & HYPER_PARAMETERS:
                given = checkpoint[part]
                kept = {name: value for name, value in given.items() if is_plain(value)}
                left_out |= given.keys() - kept.keys()
                checkpoint = checkpoint | {part: kept}
            self._say_left_out(left_out)
        super().save_checkpoint(checkpoint, path, storage_options)

    def _say_left_out(self, names: Collection[str]) -> None:
        if names and not self.said:
            self.said = True
            given = ", ".join(f"{name}=..." for name in sorted(names))
            echo(
                f"Checkpoints leave out {listed(sorted(names))}, no plain values: "
                f"{self.model}.load_from_checkpoint(path, {given}) takes them."
            )

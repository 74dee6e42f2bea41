"""What a run leaves out of its own checkpoints, so that these can be read safely."""

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from convblocks.console import echo
from convblocks.run.directory import RunDirectory
from convblocks.text import listed
from exact_resume.checkpoints import AtomicCheckpointIO

# Where Lightning keeps what save_hyperparameters has saved.
HYPER_PARAMETERS = ("hyper_parameters", "datamodule_hyper_parameters")


class RunCheckpointIO(AtomicCheckpointIO):
    """Writes a run's last.ckpt and best.ckpt without the hyper-parameters that are
    objects: config.yaml has the arguments that make them. Checkpoints of the user's own
    callbacks keep theirs.

    Args:
        others: The plugin that was there.
        directory: Of the run.
        model: The name of the module's class.
        weights_only: Whether what else is no plain value is an error.
    """

    def __init__(
        self, others: CheckpointIO, directory: RunDirectory, model: str, weights_only: bool
    ) -> None:
        last, best = (
            path.absolute() for path in (directory.last_checkpoint, directory.best_checkpoint)
        )
        super().__init__(others, last, writes_all=True, check_first=weights_only)
        self.own = (last, best)
        self.model = model
        self.left_out: dict[str, Collection[str]] | None = None  # unknown before the first save

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        if Path(path).absolute() in self.own:
            if self.left_out is None:
                self.left_out = objects_among(checkpoint)
                self._say_left_out()
            for part, names in self.left_out.items():
                kept = {name: x for name, x in checkpoint[part].items() if name not in names}
                checkpoint = checkpoint | {part: kept}
        super().save_checkpoint(checkpoint, path, storage_options)

    def _say_left_out(self) -> None:
        names = [name for part in (self.left_out or {}).values() for name in part]
        if names:
            given = ", ".join(f"{name}=..." for name in names)
            echo(
                f"Checkpoints leave out {listed(names)}, no plain values: "
                f"{self.model}.load_from_checkpoint(path, {given}) takes them."
            )


def objects_among(checkpoint: Mapping[str, Any]) -> dict[str, Collection[str]]:
    """The names of hyper-parameters that cannot be read without running code."""
    return {
        part: [name for name, value in checkpoint[part].items() if not _is_safe(value)]
        for part in HYPER_PARAMETERS
        if isinstance(checkpoint.get(part), Mapping)
    }


def _is_safe(value: Any) -> bool:
    content = io.BytesIO()
    try:
        torch.save(value, content)
        content.seek(0)
        torch.load(content, weights_only=True)
    except Exception:  # pickle calls methods of any object
        return False
    return True

"""How checkpoints get onto the disk."""

import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from convblocks.atomic import atomic_write
from convblocks.errors import UserError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written so that a kill at any moment leaves the previous one or the new one."""

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any | None = None,
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            torch.save(checkpoint, file)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint's tensors and plain values; code that a pickle may hold is never run.

    Raises:
        UserError: the file is damaged, or is not a checkpoint of this project.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle that no torch wrote, it warns before it refuses it
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where its bytes stop making sense
        raise UserError(f"cannot load {path}: it is damaged, or holds more than weights and plain values") from error
    parts = checkpoint if isinstance(checkpoint, dict) else {}
    hyper_parameters, weights = parts.get("hyper_parameters"), parts.get("state_dict")
    if not (isinstance(hyper_parameters, dict) and "arch" in hyper_parameters and isinstance(weights, dict)):
        raise UserError(f"{path} is not a checkpoint of this project")
    return parts

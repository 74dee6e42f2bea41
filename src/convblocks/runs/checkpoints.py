"""How checkpoints get onto the disk, and how they are read from it."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from convblocks.atomic import atomic_write
from convblocks.errors import UserError
from convblocks.runs.former_format import renewed_checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written so that a kill at any moment leaves a whole one.

    Args:
        keep_previous: The checkpoint of which the one before is kept too, as ``previous-<name>``.
    """

    def __init__(self, keep_previous: Path) -> None:
        super().__init__()
        self.keep_previous = keep_previous

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        complete = path.with_name(f".new-{path.name}")
        with atomic_write(complete) as file:
            torch.save(checkpoint, file)
        if path.resolve() == self.keep_previous.resolve() and path.is_file():
            path.replace(previous(path))
        complete.replace(path)

    def load_checkpoint(self, path: str | Path, *arguments: Any, **options: Any) -> dict[str, Any]:
        return renewed_checkpoint(super().load_checkpoint(path, *arguments, **options))


def previous(path: Path) -> Path:
    """Where the checkpoint is kept that a newer one has replaced."""
    return path.with_name(f"previous-{path.name}")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint's tensors and plain values; code that a pickle may hold is never run.

    Raises:
        UserError: the file is damaged, or is not a checkpoint of this project.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums
            damaged = archive.testzip()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle that no torch wrote, it warns before it refuses it
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where its bytes stop making sense
        raise UserError(f"cannot load {path}: it is damaged, or holds more than weights and plain values") from error
    if damaged is not None:
        raise UserError(f"cannot load {path}: it is damaged")
    parts = checkpoint if isinstance(checkpoint, dict) else {}
    hyper_parameters, weights = parts.get("hyper_parameters"), parts.get("state_dict")
    if not (isinstance(hyper_parameters, dict) and "arch" in hyper_parameters and isinstance(weights, dict)):
        raise UserError(f"{path} is not a checkpoint of this project")
    return renewed_checkpoint(parts)


def newest_checkpoint(path: Path) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint to resume from and what it holds: ``path``, or the previous one where that is missing or damaged.

    None if there is neither.

    Raises:
        UserError: both are damaged, or one is damaged and there is no other.
    """
    candidates = [candidate for candidate in (path, previous(path)) if candidate.is_file()]
    for candidate in candidates:
        try:
            return candidate, read_checkpoint(candidate)
        except UserError:
            if candidate == candidates[-1]:
                raise
    return None

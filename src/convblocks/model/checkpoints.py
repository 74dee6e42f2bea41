"""Reads checkpoints without running code: their pickles may be a stranger's."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convblocks.errors import UserError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint's tensors and plain values; code in a pickle is never run.

    Raises:
        UserError: the file cannot be read or is damaged, or is not a checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load ignores the checksums
            damaged = archive.testzip()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of a foreign pickle before it refuses it
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise UserError(f"cannot load {path}: {error.strerror}") from error
    except Exception as error:  # damaged files raise many types
        raise UserError(f"cannot load {path}: it is damaged, or holds more than weights and plain values") from error
    if damaged is not None:
        raise UserError(f"cannot load {path}: it is damaged")
    if not (isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict"), dict)):
        raise of_another_version(path)
    return checkpoint


def of_another_version(path: Path) -> UserError:
    """The error for a file in which something is missing."""
    return UserError(
        f"{path} is not a checkpoint of this version of convblocks: train again, or use the version that wrote it"
    )


def check_weights(path: Path, checkpoint: dict[str, Any], module: nn.Module) -> None:
    """Raise a UserError unless a checkpoint holds all weights of a module, the parameters in their shapes.

    A buffer may be of another shape, which quantization's observers take; torch refuses it otherwise.
    """
    held, parameters = checkpoint["state_dict"], dict(module.named_parameters(remove_duplicate=False))
    for name, value in module.state_dict().items():
        shape = getattr(held.get(name), "shape", None)
        if shape is None or (name in parameters and shape != value.shape):
            raise UserError(f"{path} does not hold {name} of shape {tuple(value.shape)}")

"""Reads checkpoints, which may come from a stranger, without running code."""

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convblocks.data.images import ImageSpec
from convblocks.errors import UnreadableError, UsageError, UserError

# The most bytes of a tensor that repeats its numbers, as an expanded buffer does.
LARGEST_EXPANDED = 2**24


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a classifier's checkpoint.

    Raises:
        UserError: the file cannot be read or is damaged, or is not a checkpoint of this project.
    """
    parts = read_any_checkpoint(path)
    hyper_parameters = parts.get("hyper_parameters")
    if not (isinstance(hyper_parameters, dict) and "arch" in hyper_parameters):
        raise UserError(f"{path} is not a checkpoint of this project's networks")
    if not isinstance(hyper_parameters.get("network", {}), dict | str | None):
        raise UserError(f"{path} is not a checkpoint of this project: it lacks the network's arguments")
    try:
        ImageSpec.from_dict(hyper_parameters["image_spec"])
    except (KeyError, UsageError) as error:
        raise UserError(f"{path} is not a checkpoint of this project: {error!r}") from error
    return parts


def read_any_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint's tensors and plain values; code in a pickle is never run.

    Raises:
        UserError: the file cannot be read or is damaged, or is not a checkpoint.
    """
    if not path.is_file() and path.exists():
        raise UserError(f"cannot load {path}: it is not a regular file")
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load ignores the checksums
            damaged = archive.testzip()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of a foreign pickle before it refuses it
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise UnreadableError(f"cannot load {path}: {error.strerror}") from error
    except Exception as error:  # damaged files raise many types
        raise UserError(f"cannot load {path}: it is damaged, or holds more than weights and plain values") from error
    if damaged is not None:
        raise UserError(f"cannot load {path}: it is damaged")
    parts = checkpoint if isinstance(checkpoint, dict) else {}
    weights = parts.get("state_dict")
    if not isinstance(weights, dict):
        raise UserError(f"{path} is not a checkpoint of this project")
    if not all(isinstance(name, str) and is_plain(value) for name, value in weights.items()):
        raise UserError(f"{path} is not a checkpoint of this project: its state_dict holds more than named tensors")
    return parts


def check_weights(path: Path, checkpoint: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Raise a UserError unless a checkpoint holds all of these weights, in their shapes."""
    held = kinds_of(checkpoint["state_dict"])
    for name, kind in kinds_of(weights).items():
        if held.get(name) != kind:
            raise UserError(f"{path} does not hold {name} of shape {tuple(kind[0])}")


def kinds_of(weights: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, bool]]:
    """Shape, and whether complex, of each: as real numbers complex ones would lose their imaginary parts."""
    return {name: (value.shape, value.is_complex()) for name, value in weights.items()}


def is_plain(value: Any) -> bool:
    """Whether it is a tensor of numbers in memory; a large one with one for each element: others may claim any size."""
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return False
    is_of_numbers = not (value.is_meta or value.is_quantized)
    return is_of_numbers and value.nbytes <= max(value.untyped_storage().nbytes(), LARGEST_EXPANDED)

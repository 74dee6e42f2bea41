"""Replaces paths in checkpoints: run directories are renamed and moved, so that absolute paths would become wrong."""

from typing import Any

# Stands for the run directory in a checkpoint's paths.
RUN = "<run>"


def relocated(checkpoint: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """The checkpoint with paths below one folder, in the states of its callbacks, moved to another."""
    if "callbacks" not in checkpoint:
        return checkpoint
    return checkpoint | {"callbacks": _replaced(checkpoint["callbacks"], old, new)}


def _replaced(value: Any, old: str, new: str) -> Any:
    if type(value) is dict:
        return {_replaced(key, old, new): _replaced(one, old, new) for key, one in value.items()}
    if type(value) is list:
        return [_replaced(one, old, new) for one in value]
    if isinstance(value, str) and (value == old or value.startswith((f"{old}/", f"{old}\\"))):
        return new + value[len(old) :]
    return value

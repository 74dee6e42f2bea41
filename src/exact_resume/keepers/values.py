"""Values of attributes: whether they have changed, and how a checkpoint holds them."""

import io
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from exact_resume.lightning_private import VERSION

# Exactly these: a checkpoint that holds an object of a subclass, such as a member of an
# Enum, cannot be read; nor one of a tensor's. NumPy's becomes Python's own in a checkpoint.
SCALARS = (bool, int, float, str, type(None), np.float64)


def mark(value: Any) -> Any:
    """What differs once a value has changed; None of what cannot be kept."""
    if type(value) in SCALARS:
        return type(value).__name__, value
    if type(value) is Tensor:
        # A bound method equals only that of the same tensor, and holds it: an id alone
        # could later be that of another tensor.
        # One made in inference mode does not count its changes: taken as changed.
        return value.size, object() if value.is_inference() else VERSION.of(value)
    if not isinstance(value, Mapping | list | tuple | deque):
        return None
    parts = value.items() if isinstance(value, Mapping) else value
    marks = [*map(mark, parts)]
    return None if None in marks else (type(value).__name__, marks)


def plain(value: Any) -> Any:
    """As a checkpoint holds it: tensors copied to the CPU, as torch's own, containers as
    Python's own, arrays as lists, NumPy's numbers as Python's.
    """
    if isinstance(value, Tensor):
        return value.detach().as_subclass(Tensor).cpu().clone()
    if isinstance(value, Mapping):
        return {plain(name): plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if isinstance(value, list | deque):
        return [*map(plain, value)]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def set_attribute(owner: Any, name: str, value: Any) -> None:
    """Set an attribute; into a container that is there, which others may share."""
    there = getattr(owner, name, None)
    if isinstance(there, dict) and isinstance(value, dict):
        there.clear()
        there |= value
    elif isinstance(there, list | deque) and isinstance(value, list):
        there.clear()
        there.extend(value)
    else:
        object.__setattr__(owner, name, value)  # those of modules and metrics have rules


def memory_of(value: Any) -> set[int]:
    """The addresses of the memory of all tensors in a value."""
    pointers = set()
    apply_to_collection(
        value, Tensor, lambda tensor: pointers.add(tensor.untyped_storage().data_ptr())
    )
    return pointers - {0}


def is_plain(value: Any) -> bool:
    """Whether a checkpoint may hold it."""
    content = io.BytesIO()
    try:
        torch.save(value, content)
        content.seek(0)
        torch.load(content, weights_only=True)
    except Exception:  # pickles of any object raise many types
        return False
    return True

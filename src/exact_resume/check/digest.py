"""Hashes of tensors, plain values and whatever holds them."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torchmetrics import Metric

from exact_resume.keepers.attributes import buffers_not_kept

# How deep values are looked into: an object may hold a deque of tuples of tensors.
DEPTH = 4

# What is changed elsewhere, such as a module's Trainer, or never.
WITHOUT_PARTS = (LightningModule, Trainer, Callback, type, FunctionType, MethodType)


def digest(value: Any) -> str:
    """A hash: of numbers by their value, of lists and tuples alike."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in _bytes_of(value, DEPTH):
        hashed.update(part)
    return hashed.hexdigest()


def _bytes_of(value: Any, depth: int) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        yield from _bytes_of_tensor(value.detach().cpu())
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield from _bytes_of(value.tolist(), depth) if value.dtype.hasobject else [value.tobytes()]
    elif isinstance(value, bool | str | bytes | complex | None):
        yield repr(value).encode()
    elif isinstance(value, int | float | np.number):
        number = value.item() if isinstance(value, np.number) else value
        is_whole = isinstance(number, float) and number.is_integer()
        yield repr(int(number) if is_whole else number).encode()
    elif depth:
        yield b"sequence" if isinstance(value, list | tuple) else type(value).__name__.encode()
        for name, part in _parts(value):
            yield f"({name}".encode()
            yield from _bytes_of(part, depth - 1)


def _bytes_of_tensor(tensor: Tensor) -> Iterator[bytes]:
    yield f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    # numpy() would pin the size of the tensor itself
    dense = tensor.clone() if tensor.layout == torch.strided else tensor.to_dense()
    yield dense.reshape(-1).view(torch.uint8).numpy().tobytes()


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    """The parts of a value, by name."""
    match value:  # one match
        case Metric():
            return [*value.metric_state.items(), ("updates", value.update_count)]
        case _ if isinstance(value, WITHOUT_PARTS):
            return ()
        case nn.Module():
            return [*value.state_dict().items(), *buffers_not_kept(value)]
        case Mapping():
            return [(name, part) for name, part in value.items()]
        case set() | frozenset():
            return enumerate(sorted(map(digest, value)))
        case list() | tuple() | deque():
            return enumerate(value)
        case np.random.Generator():
            return [("", value.bit_generator.state)]
    for state in ("state_dict", "get_state", "getstate"):  # of optimizers, schedules, generators
        if hasattr(value, state):
            return [(state, getattr(value, state)())]
    return _attributes(value)


def _attributes(value: Any) -> list[tuple[str, Any]]:
    items = getattr(value, "__dict__", {}).items()
    return [(name, part) for name, part in items if not isinstance(part, MethodType)]

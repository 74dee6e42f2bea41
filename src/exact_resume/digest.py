"""Hashes of tensors, plain values and whatever holds them."""

import hashlib
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torchmetrics import Metric

# The levels of parts that are hashed: four, since an object may hold a deque of tuples of tensors.
DEPTH = 4

# Types of values that are hashed by their text.
PRINTED = (bool, str, bytes, int, float, complex, np.generic, type(None))


def digest(
    value: Any,
    is_left_out: Callable[[Any], bool] = lambda _: False,
    most: int = sys.maxsize,
    numbers: int = sys.maxsize,
) -> str:
    """A hash of a value and its parts, in hexadecimal. Numbers that are equal have the same
    hash, such as 1 and 1.0; so have a list and a tuple of the same parts.

    Args:
        value: The value.
        is_left_out: True for a part that is not to be looked into.
        most: How many parts to look at; for a value with more the result is empty.
        numbers: About how many numbers of each tensor and array to hash.
    """
    hashed = hashlib.blake2b(digest_size=16)
    for number, content in enumerate(_bytes_of(value, DEPTH, is_left_out, numbers)):
        if number >= most:
            return ""
        hashed.update(content)
    return hashed.hexdigest()


def _bytes_of(
    value: Any, depth: int, is_left_out: Callable[[Any], bool], numbers: int
) -> Iterator[bytes]:
    if is_left_out(value):
        yield b"left out"
    elif isinstance(value, PRINTED):
        number = value.item() if isinstance(value, np.generic) else value
        yield repr(number).removesuffix(".0").encode()
    elif isinstance(value, Tensor):
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        dense = value.detach()
        if dense.layout is not torch.strided:  # as_subclass would refuse it
            dense = dense.to_dense()
        # numpy() would pin the size of the tensor itself
        dense = _sample_of(dense.as_subclass(Tensor).reshape(-1), numbers).cpu().clone()
        yield dense.view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        content = _sample_of(value.reshape(-1), numbers)
        content = content.tolist() if value.dtype.hasobject else content.tobytes()
        yield from _bytes_of(content, depth, is_left_out, numbers)
    elif isinstance(value, FunctionType | MethodType):
        place = getattr(value, "__code__", None)
        line = place.co_firstlineno if place else 0
        yield f"function {value.__module__} {value.__qualname__} {line}".encode()
    elif depth:
        yield b"sequence" if isinstance(value, list | tuple) else type(value).__name__.encode()
        for name, part in _parts(value):
            yield f"({name}".encode()
            yield from _bytes_of(part, depth - 1, is_left_out, numbers)


def _sample_of(flat: Any, numbers: int) -> Any:
    """About so many numbers of a row, at equal distances. The distance is odd, so that all
    columns of a table with an even number of columns are met.
    """
    step = max(len(flat) // numbers, 1)
    return flat[:: step + (step + 1) % 2]


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    """The parts of a value, each with its name, key or number."""
    match value:  # one match
        case Metric():
            return [*value.metric_state.items(), ("updates", value.update_count)]
        case LightningModule() | Trainer() | Callback() | type():
            return ()  # they belong to somebody else, as a module's Trainer does, or never change
        case nn.Module():
            return [*value.state_dict().items(), *value.named_buffers()]
        case Mapping():
            return value.items()
        case set() | frozenset():
            return enumerate(sorted(map(digest, value)))
        case list() | tuple() | deque():
            return enumerate(value)
        case np.random.Generator():
            return [("", value.bit_generator.state)]
    for state in ("state_dict", "get_state", "getstate"):  # of optimizers, schedules, generators
        if hasattr(value, state):
            return [(state, getattr(value, state)())]
    return vars(value).items() if hasattr(value, "__dict__") else ()

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

# How deep values are looked into: an object may hold a deque of tuples of tensors. Below
# this nothing is hashed.
DEPTH = 4

# What is hashed by what Python prints of it.
PRINTED = (bool, str, bytes, int, float, complex, np.generic, type(None))


def digest(value: Any) -> str:
    """A hash: of numbers by their value, of lists and tuples alike."""
    content = b"".join(_bytes_of(value, DEPTH))
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _bytes_of(value: Any, depth: int) -> Iterator[bytes]:
    if isinstance(value, PRINTED):
        number = value.item() if isinstance(value, np.generic) else value
        yield repr(number).removesuffix(".0").encode()
    elif isinstance(value, Tensor):
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        # numpy() would pin the size of the tensor itself
        dense = value.detach().as_subclass(Tensor).cpu().to_dense().clone()
        yield dense.reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield from _bytes_of(value.tolist() if value.dtype.hasobject else value.tobytes(), depth)
    elif depth:
        yield b"sequence" if isinstance(value, list | tuple) else type(value).__name__.encode()
        for name, part in _parts(value):
            yield f"({name}".encode()
            yield from _bytes_of(part, depth - 1)


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    """The parts of a value, by name."""
    match value:  # one match
        case Metric():
            return [*value.metric_state.items(), ("updates", value.update_count)]
        case LightningModule() | Trainer() | Callback() | type() | FunctionType() | MethodType():
            return ()  # they are changed elsewhere, such as a module's Trainer, or never
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

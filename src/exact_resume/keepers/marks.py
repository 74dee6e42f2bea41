"""What tells whether a value has changed."""

import pickle
import zlib
from collections import defaultdict, deque
from hashlib import blake2b
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exact_resume.keepers.values import CONTAINERS, array_kind, is_array, name_of
from exact_resume.lightning_private import VERSION

# The content of larger tensors, in bytes, is not looked at: only changes that torch counts.
MOST = 256 * 2**20


def mark(value: Any) -> Any:
    """What differs once a value has changed; None of what cannot be kept."""
    marker = Marker()
    try:
        marker.dump(value)
    except (pickle.PicklingError, RecursionError):
        return None
    return marker.hashed.digest(), marker.large


class Marker(pickle.Pickler):
    """Hashes a value as pickle writes it, since Python loops over large lists are slow;
    raises a PicklingError of what cannot be kept.
    """

    def __init__(self) -> None:
        self.hashed = blake2b(digest_size=16)
        # A bound method equals only that of the same tensor, and holds it: an id alone
        # could later be that of another tensor.
        self.large: list[Any] = []
        super().__init__(SimpleNamespace(write=self.hashed.update), protocol=5)

    def reducer_override(self, value: Any) -> Any:
        """Called for what is neither a plain value nor a list, tuple, dict or set."""
        if value is tuple:  # which makes what is returned here
            return NotImplemented
        if type(value) is Tensor and value.device.type != "meta":
            return tuple, (self._parts_of_tensor(value),)
        if is_array(value):
            content: Any = np.ascontiguousarray(value).reshape(-1).view("u1")
            looks = array_kind(value), value.shape, value.strides
            return tuple, (("array", *looks, zlib.crc32(content)),)
        if isinstance(value, np.generic) and is_array(np.asarray(value)):
            return tuple, (("number", value.dtype.str, value.tobytes()),)
        if type(value) is complex:
            return tuple, (("complex", repr(value)),)
        if not isinstance(value, CONTAINERS):
            raise pickle.PicklingError
        parts = [*value.items()] if isinstance(value, dict) else [*value]
        size = value.maxlen if isinstance(value, deque) else None
        factory = name_of(value.default_factory) if isinstance(value, defaultdict) else ""
        return tuple, ((name_of(type(value)), size, factory, parts),)

    def _parts_of_tensor(self, value: Tensor) -> tuple[Any, ...]:
        looks = str(value.dtype), tuple(value.shape), value.requires_grad
        # One made in inference mode does not count its changes.
        version = -1 if value.is_inference() else VERSION.of(value)
        if value.layout is not torch.strided:
            self.large.append(value.size)
            return "tensor", *looks, version if version >= 0 else id(object())
        if value.nbytes > MOST:
            self.large.append(object() if version < 0 else value.size)
            return "tensor", *looks, version
        return "tensor", *looks, version, checksum(value)


def checksum(value: Tensor) -> int:
    """Of the content, which also differs after a change through ``data``."""
    dense = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
    content: Any = dense.reshape(-1).view(torch.uint8).numpy()
    return zlib.crc32(content)

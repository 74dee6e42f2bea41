"""Marks of values, which tell later whether a value has changed."""

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

# The most bytes of a tensor whose content is looked at; of a larger one only the changes that
# torch counts.
MOST = 256 * 2**20


def mark(value: Any) -> Any:
    """A mark, which differs from the mark that the value has once it has changed; None for a
    value that cannot be kept.
    """
    marker = Marker()
    try:
        marker.dump(value)
    except (pickle.PicklingError, RecursionError):
        return None
    return marker.hashed.digest(), marker.large


class Marker(pickle.Pickler):
    """Hashes a value as pickle writes it, since a loop of Python over a large list is slow.

    Raises:
        PicklingError: in ``dump``, for a value that cannot be kept.
    """

    def __init__(self) -> None:
        self.hashed = blake2b(digest_size=16)
        # Large tensors, each by one of its bound methods: that is equal only to the same method
        # of the same tensor, and holds the tensor, whose id could otherwise become another's.
        self.large: list[Any] = []
        super().__init__(SimpleNamespace(write=self.hashed.update), protocol=5)

    def reducer_override(self, value: Any) -> Any:
        """Called by pickle for values that are neither plain nor a list, tuple, dict or set."""
        if value is tuple:  # named by what is returned below, and pickled as usual
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
        # A tensor that was made in inference mode does not count its changes.
        version = -1 if value.is_inference() else VERSION.of(value)
        if value.layout is not torch.strided:
            self.large.append(value.size)
            return "tensor", *looks, version if version >= 0 else id(object())
        if value.nbytes > MOST:
            self.large.append(object() if version < 0 else value.size)
            return "tensor", *looks, version
        return "tensor", *looks, version, checksum(value)


def checksum(value: Tensor) -> int:
    """A checksum of a tensor's content: it also differs after a change through ``data``, which
    torch does not count.
    """
    dense = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
    content: Any = dense.reshape(-1).view(torch.uint8).numpy()
    return zlib.crc32(content)

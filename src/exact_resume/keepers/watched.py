"""Watches the batches of an epoch as they are read, so that a resume can verify that the
loaders give them again: by a sample of each, and by the generators before each read that
draws random numbers.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exact_resume.keeper import State
from exact_resume.keepers.generators import Note, set_states
from exact_resume.keepers.values import plain
from exact_resume.training import ByName

# A checkpoint holds the states of the generators before at most so many reads that drew random
# numbers in this process: before the first, in which a sampler draws, and the last ones.
MOST = 100

# The most generators that are watched.
NOTED = 16

# A sample has so many numbers of each record of a tensor, at most so many along one of its
# dimensions; of a tensor with more than so many records, one number of each.
NUMBERS, OF_A_DIMENSION, RECORDS = 16, 4, 10_000

# The limits of a sample: levels of parts, parts of a batch, and parts of another value.
DEPTH, PARTS, FEW = 6, 1_000_000, 10_000

# The samples of so many batches are held, and digested together: only then is a device asked
# for the numbers of its tensors.
HELD = 32

# A sample of a batch: numbers of tensors, and bytes of other values, in their order.
Sample = list[Tensor | bytes]


class Watched(Iterator[Any]):
    """The batches of an epoch, counted and sampled as they are read.

    Args:
        batches: The iterator that gives the batches.
        generators: The generators of this process from which reading may draw.
        ahead: Batches that were read before they were watched.
    """

    def __init__(self, batches: Any, generators: ByName, ahead: list[Any]) -> None:
        self._batches, self._generators = batches, generators
        # The first ones are the global generators. From those that loaders hold nobody else
        # draws, so a replay that reads all batches draws the same without knowing them.
        noted = islice(generators.items(), NOTED)
        self._notes = {name: Note(generator) for name, generator in noted}
        self.count = 0
        self._held = [_sample_of(batch) for batch in ahead]
        self._all, self._last = "", ""
        # The states of the generators that drew, before the read, by the number of the batch.
        self._first_draws: dict[int, State] = {}
        self._draws: deque[tuple[int, State]] = deque(maxlen=MOST - 1)
        self._following: dict[int, State] = {}

    def __next__(self) -> Any:
        if known := self._following.pop(self.count, None):
            set_states(self._generators, known)
        before = {name: note.now() for name, note in self._notes.items()}
        batch = next(self._batches)
        drawn = {
            name: before[name]
            for name, note in self._notes.items()
            if note.now() is not before[name]
        }
        if drawn and not self._first_draws:
            self._first_draws = {self.count: drawn}
        elif drawn:
            self._draws.append((self.count, drawn))
        self.count += 1
        self._held.append(_sample_of(batch))
        if len(self._held) >= HELD:
            self._digest()
        return batch

    def state(self) -> State:
        """The state by which a replay is verified: the number of batches, a digest of the last
        one and one of all in their order, and the generators before reads that drew.
        """
        self._digest()
        draws = self._first_draws | dict(self._draws)
        return {
            "count": self.count,
            "last": self._last,
            "all": self._all,
            "draws": {number: plain(drawn) for number, drawn in draws.items()},
        }

    def follow(self, known: State) -> None:
        """Before each read from now on, set the generators as they were before it the last
        time.

        Args:
            known: A state, as of ``state``.
        """
        self._following = dict(known["draws"])

    def set_generators(self, known: State, number: int) -> None:
        """Set the generators as they were before the batch of this number was read, if that
        drew.
        """
        set_states(self._generators, known["draws"].get(number, {}))

    def go_to_last(self, known: State) -> None:
        """Called when the batches before the last one have been skipped: count them, and know
        their draws, as if they had been read.
        """
        self.count = known["count"] - 1
        draws = {number: drawn for number, drawn in known["draws"].items() if number < self.count}
        self._first_draws = dict([*draws.items()][:1])
        self._draws.extend([*draws.items()][1:])
        self.set_generators(known, self.count)

    def is_at_last(self, known: State) -> bool:
        """True if the batch that was read last is the last one of this state."""
        self._digest()
        self._all = known["all"]
        return bool(self._last == known["last"])

    def repeats(self, known: State) -> bool:
        """True if the batches that were read are those of this state: all of them, or only the
        last one where the generators before some reads are not known.
        """
        self._digest()
        kind = "last" if len(known["draws"]) >= MOST else "all"
        return bool(getattr(self, f"_{kind}") == known[kind])

    def _digest(self) -> None:
        for sample in self._held:
            self._last = _digest_of(sample)
            self._all = _digest_of([self._all.encode(), self._last.encode()])
        self._held = []


def sample_digest(value: Any) -> str:
    """A digest of a sample of a value, which may be of any type."""
    return _digest_of(_sample_of(value, FEW))


def _digest_of(sample: Sample) -> str:
    hashed = blake2b(digest_size=16)
    for part in sample:
        if isinstance(part, Tensor):
            part = part.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        hashed.update(part)
    return hashed.hexdigest()


def _sample_of(batch: Any, most: int = PARTS) -> Sample:
    """A few numbers of each record of each tensor and array, all other plain values, and
    the attributes of other objects.
    """
    parts: Sample = []
    _add(batch, parts, DEPTH, most)
    return parts


def _add(value: Any, parts: Sample, depth: int, most: int) -> None:
    if len(parts) >= most:
        return
    if isinstance(value, Tensor):
        parts.append(str(value.dtype).encode())
        with suppress(RuntimeError, TypeError, NotImplementedError):  # an unusual layout
            parts += _numbers_of(value.detach())
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        parts += [str(value.shape).encode(), value[_columns(value.shape)].tobytes()]
    elif isinstance(value, str | bytes | int | float | complex | None | np.generic):
        parts.append(repr(value).encode())
    elif depth:
        if isinstance(value, Mapping):
            parts.append(repr([*islice(value, most)]).encode())
            inner: Any = islice(value.values(), most)
        elif isinstance(value, list | tuple | deque | np.ndarray):
            parts.append(str(len(value)).encode())
            inner = islice(value, most)
        else:
            parts.append(type(value).__qualname__.encode())
            inner = getattr(value, "__dict__", {}).values()
        for part in inner:
            _add(part, parts, depth - 1, most)


def _numbers_of(tensor: Tensor) -> Sample:
    """The shape of a tensor, and a copy of the numbers that are compared: the batch itself may
    be changed in place.
    """
    if tensor.is_nested:
        return [number for part in tensor.unbind() for number in _numbers_of(part)]
    if tensor.layout == torch.sparse_coo:
        sparse = tensor.coalesce()
        return [*_numbers_of(sparse.indices().T), *_numbers_of(sparse.values())]
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    if type(tensor) is not Tensor:
        tensor = tensor.as_subclass(Tensor)
    shape = tuple(tensor.shape)
    return [str(shape).encode(), tensor[_columns(shape)].clone()]


@lru_cache(1024)
def _columns(shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The slices of a tensor, by dimension, that hold the numbers to compare. The first
    dimension is that of records; along the others the numbers are spread.
    """
    left = NUMBERS if shape and shape[0] <= RECORDS else 1
    slices = []
    for size in reversed(shape[1:]):
        most = left if len(shape) == 2 else min(left, OF_A_DIMENSION)
        number = max(1, min(size, most))
        step = max(1, size // number)
        first = max(0, size - 1 - (number - 1) * step) // 2
        slices.append(slice(first, first + (number - 1) * step + 1, step))
        left = max(1, left // number)
    return (slice(None), *reversed(slices)) if shape else ()

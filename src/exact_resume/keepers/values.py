"""Values of attributes: how a checkpoint holds them, and how they are restored.

A checkpoint may hold tensors and Python's plain values only. Others are dicts in it, with
the name of their kind under ``KIND``. Each object has one copy, so that two names for it
are two names again.
"""

import io
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Exactly these are kept as they are: a checkpoint that holds an object of a subclass, such
# as a member of an Enum, cannot be read.
SCALARS = (bool, int, float, complex, str, bytes, type(None))

CONTAINERS = (dict, list, tuple, deque, set, frozenset)

BASES = {kind.__name__: kind for kind in CONTAINERS}

# The key that marks a dict in a checkpoint that stands for a value of another kind.
KIND = "kind of exact_resume"

# The classes of which a resume makes objects, and what a defaultdict may make, by name.
MADE: dict[str, type] = {
    f"{kind.__module__}:{kind.__qualname__}": kind
    for kind in (*CONTAINERS, Counter, OrderedDict, defaultdict, torch.Size, bool, int, float, str)
}

# The kinds of NumPy's types that are kept: numbers, times, and texts.
NUMERIC = "biufcmMSU"

# The objects that were copied and their copies, by the id of the object. It is held here so
# that its id stays its own.
Copies = dict[int, tuple[Any, Any]]

# The way from an attribute to an object in it: at each level, the number of a part.
Way = tuple[int, ...]


def plain(value: Any, copies: Copies | None = None) -> Any:
    """The form of a value that a checkpoint holds: tensors are copied to the CPU, and values
    that are neither tensors nor Python's own become dicts.

    Args:
        value: The value.
        copies: The copies that were made before, of values that may share objects with this
            one; new ones are added.
    """
    copies = {} if copies is None else copies
    if id(value) in copies:
        return copies[id(value)][1]
    if isinstance(value, CONTAINERS):
        return _plain_container(value, copies)
    copy = value
    if isinstance(value, Tensor):
        detached = value.detach()
        if type(detached) is not Tensor:  # not always: a sparse tensor refuses as_subclass
            detached = detached.as_subclass(Tensor)
        copy = detached.cpu().clone()
        copy.requires_grad_(value.requires_grad and value.is_leaf)
    elif isinstance(value, np.ndarray | np.generic):
        copy = _plain_array(value)
    if copy is not value:
        copies[id(value)] = value, copy
    return copy


def _plain_array(value: Any) -> Any:
    if not is_array(np.asarray(value)):
        return value.tolist()
    if isinstance(value, np.generic):
        return {KIND: "number", "dtype": value.dtype.str, "bytes": value.tobytes()}
    dtype, order = array_kind(value)
    content = torch.from_numpy(value.reshape(-1, order=order).view("u1").copy())
    return {KIND: "array", "dtype": dtype, "order": order, "shape": value.shape, "bytes": content}


def _plain_container(value: Any, copies: Copies) -> Any:
    if type(value) is tuple:
        return tuple(plain(part, copies) for part in value)
    copy: Any
    if type(value) is list:
        copy = []
        copies[id(value)] = value, copy
        copy += [plain(part, copies) for part in value]
        return copy
    copy = {}
    copies[id(value)] = value, copy  # before its parts, which may have it as a part
    is_dict = isinstance(value, dict)
    if type(value) is dict and KIND not in value and all(type(key) in SCALARS for key in value):
        copy |= {key: plain(part, copies) for key, part in value.items()}
        return copy
    kind = next(kind for kind in CONTAINERS if isinstance(value, kind))
    copy |= {KIND: kind.__name__, "class": name_of(type(value))}
    if isinstance(value, deque):
        copy["maxlen"] = value.maxlen
    if isinstance(value, defaultdict):
        copy["factory"] = name_of(value.default_factory)
    parts = value.items() if is_dict else value
    copy["items"] = [plain(part, copies) for part in parts]
    return copy


def name_of(kind: Any) -> str:
    """The module and the name of a class or function, such as ``torch:Size``; empty for an
    object without a name.
    """
    name = getattr(kind, "__qualname__", "")
    return f"{kind.__module__}:{name}" if name else ""


def is_array(value: Any) -> bool:
    """True for an array of NumPy's own class that holds plain values."""
    return type(value) is np.ndarray and value.dtype.kind in NUMERIC


def array_kind(value: Any) -> tuple[str, Any]:
    """The type of an array's values, and their order in memory."""
    is_transposed = value.flags.f_contiguous and not value.flags.c_contiguous
    return value.dtype.str, "F" if is_transposed else "C"


def restored(kept: Any, device: Any = None) -> Any:
    """The value whose form ``plain`` has made, with its tensors on a device."""
    return Restoring(device).value(kept)


class Restoring:
    """Makes values again of the forms that ``plain`` has made, one value of each form.

    Args:
        device: The device of tensors.
    """

    def __init__(self, device: Any = None) -> None:
        self._device = device
        # The objects that are to take the content of kept forms, and the values made from these;
        # both by the id of the kept form.
        self._there: dict[int, Any] = {}
        self._made: dict[int, Any] = {}

    def into(self, kept: Any, there: Any) -> None:
        """Let an object that is there take the content of what is kept, if it is of its kind."""
        if isinstance(there, Tensor) and isinstance(kept, Tensor):
            are_dense = there.layout == kept.layout == torch.strided
            if are_dense and there.dtype == kept.dtype and not there.is_inference():
                self._there[id(kept)] = there
        elif _class_of(kept) == name_of(type(there)):
            self._there[id(kept)] = there

    def value(self, kept: Any) -> Any:
        """The value of a kept form."""
        if type(kept) is tuple:
            return tuple(map(self.value, kept))
        if not isinstance(kept, Tensor | dict | list):
            return kept
        if id(kept) not in self._made:
            there = self._there.get(id(kept))
            if isinstance(kept, Tensor):
                self._made[id(kept)] = self._tensor(kept, there)
            elif isinstance(kept, dict) and kept.get(KIND) in ("array", "number"):
                self._made[id(kept)] = _array(kept, there)
            else:
                self._made[id(kept)] = self._container(kept, there)
        return self._made[id(kept)]

    def _tensor(self, kept: Tensor, there: Tensor | None) -> Tensor:
        if there is None:
            value: Tensor = kept.detach().to(self._device) if self._device else kept.detach()
            return value.requires_grad_(kept.requires_grad)
        if there.shape != kept.shape or 0 in there.stride():
            there.data = kept.detach().to(there.device)
        else:
            with torch.no_grad():
                there.copy_(kept)
        if there.is_leaf:
            there.requires_grad_(kept.requires_grad)
        return there

    def _container(self, kept: Any, there: Any) -> Any:
        if isinstance(kept, list) or KIND not in kept:
            kind, parts = type(kept).__name__, kept if isinstance(kept, list) else kept.items()
        else:
            kind, parts = kept[KIND], kept["items"]
        if kind in ("tuple", "frozenset"):
            return _immutable(kept["class"], kind, map(self.value, parts))
        container = _empty(kept) if there is None else there
        self._made[id(kept)] = container  # before its parts, which may have it as a part
        parts = [*map(self.value, parts)]
        container.clear()
        if kind == "dict":  # not update, with which a Counter adds
            for key, part in parts:
                container[key] = part
        elif kind == "set":
            container.update(parts)
        else:
            container.extend(parts)
        return container


def _class_of(kept: Any) -> str:
    """The name of the class of the value that has this form."""
    if not isinstance(kept, dict) or KIND not in kept:
        return name_of(type(kept))
    return "numpy:ndarray" if kept[KIND] == "array" else str(kept.get("class", ""))


def _array(kept: Any, there: Any) -> Any:
    if kept[KIND] == "number":
        return np.frombuffer(kept["bytes"], kept["dtype"])[0]
    flat = kept["bytes"].cpu().numpy().copy().view(kept["dtype"])
    value = flat.reshape(kept["shape"], order=kept["order"])
    is_alike = there is not None and (there.dtype, there.shape) == (value.dtype, value.shape)
    if not (is_alike and there.flags.writeable):
        return value
    there[...] = value
    return there


def _empty(kept: Any) -> Any:
    """An empty container of the class of a kept form; Python's own where the class is not
    known.
    """
    if not isinstance(kept, dict) or KIND not in kept:
        return type(kept)()
    kind = MADE.get(kept["class"], BASES[kept[KIND]])
    if issubclass(kind, deque):
        return deque(maxlen=kept["maxlen"])
    if issubclass(kind, defaultdict):
        return defaultdict(MADE.get(kept["factory"]))
    return kind()


def _immutable(name: str, kind: str, parts: Iterable[Any]) -> Any:
    """A frozenset, or a tuple of the class of this name, such as a named tuple. The class is
    used if its module is imported already: a checkpoint imports nothing, and calls no code
    of others.
    """
    if kind == "frozenset":
        return frozenset(parts)
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is torch.Size:
        return torch.Size(parts)
    is_tuple = isinstance(found, type) and issubclass(found, tuple)
    return tuple.__new__(found if is_tuple else tuple, parts)


def objects_in(value: Any, most: int) -> Iterator[tuple[Way, Any]]:
    """The value and the objects in it that are no plain values of Python's, each with the way
    to it; the nearest first, and at most so many.
    """
    queue: list[tuple[Way, Any]] = [((), value)]
    seen = set[int]()
    for way, thing in queue:  # the loop also visits what it appends
        if type(thing) in SCALARS or id(thing) in seen:
            continue
        if len(seen) >= most:
            return
        seen.add(id(thing))
        yield way, thing
        if isinstance(thing, CONTAINERS) and len(queue) <= most:
            parts = thing.values() if isinstance(thing, dict) else thing
            queue += [
                ((*way, number), part)
                for number, part in enumerate(parts)
                if type(part) not in SCALARS
            ]


def memory_of(value: Any) -> set[int]:
    """The addresses of the memory of all tensors in a value."""
    pointers = {
        part.untyped_storage().data_ptr()
        for _, part in objects_in(value, sys.maxsize)
        if isinstance(part, Tensor) and part.layout is torch.strided
    }
    return pointers - {0}


def is_plain(value: Any) -> bool:
    """True for a value that a checkpoint may hold: it can be read with ``weights_only``."""
    content = io.BytesIO()
    try:
        torch.save(value, content)
        content.seek(0)
        torch.load(content, weights_only=True)
    except Exception:  # pickles of any object raise many types
        return False
    return True

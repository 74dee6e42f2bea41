"""Keeps what changes in the loaders, samplers and data sets of this process."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from exact_resume.digest import digest
from exact_resume.keeper import State
from exact_resume.keepers.generators import PARTS, found_in
from exact_resume.keepers.values import SCALARS, Restoring, plain
from exact_resume.keepers.watched import sample_digest
from exact_resume.training import ByName, is_stateful

# The most numbers in an array or a tensor that is kept.
MOST = 1_000_000

# The attributes of torch's own loader, which are not kept: its sampler and data set are looked
# into instead, and its iterator is replaced.
OF_TORCH = vars(DataLoader[Any](Dataset())).keys()

# The way to a part of the loaders, such as ``/0/sampler``, and the name of an attribute.
Place = tuple[str, str]


class Sources:
    """Keeps small attributes of loaders, samplers and data sets that are not as they were at
    the start, and the ``state_dict`` of data sets that are read in this process.

    Args:
        loaders: The loaders, which hold the other parts.
    """

    def __init__(self, loaders: list[Any]) -> None:
        self._loaders = loaders
        self._at_start = _looks_of(_parts_of(loaders))
        # Attributes that a resume has set, which are always kept.
        self._restored: set[Place] = set()

    def state(self) -> State:
        """The ``state_dict`` and the changed attributes of each part that has any, by the way to
        the part; and a digest of all attributes, which differs if one has changed.
        """
        parts = _parts_of(self._loaders)
        looks = _looks_of(parts)
        changed: dict[str, State] = {way: {} for way in parts}
        for (way, name), look in looks.items():
            has_changed = (way, name) in self._restored or self._at_start.get((way, name)) != look
            if has_changed and _is_small(vars(parts[way])[name]):
                changed[way][name] = plain(vars(parts[way])[name])
        own = _with_own_state(self._loaders)
        known = {way: part.state_dict() for way, part in parts.items() if id(part) in own}
        states = {
            way: (known.get(way), changed[way]) for way in parts if changed[way] or way in known
        }
        return {"states": states, "look": digest(looks)}

    def lost(self) -> Iterator[tuple[Any, str]]:
        """The attributes that have changed and are not kept, each by its part and its name. An
        iterator counts as changed, since it goes on while it lives.
        """
        parts = _parts_of(self._loaders)
        for (way, name), look in _looks_of(parts).items():
            part, before = parts[way], self._at_start.get((way, name))
            value = vars(part)[name]
            goes_on = isinstance(value, Iterator) and not hasattr(value, "__dict__")
            is_kept = _is_small(value) or is_stateful(part)
            if before and (goes_on or look != before) and not is_kept:
                yield part, name

    def restore(self, state: State, within: bool = False) -> None:
        """Put a state back.

        Args:
            state: As of ``state``.
            within: Attributes only, since within an epoch a ``state_dict`` may set a position.
        """
        parts = _parts_of(self._loaders)
        for way in parts.keys() & state["states"].keys():
            known, changed = state["states"][way]
            part = parts[way]
            if known is not None and not within:
                attributes = {name: x for name, x in vars(part).items() if _is_small(x)}
                part.load_state_dict(known)
                # load_state_dict may have set a position, at which an epoch must not begin.
                part.__dict__.update(attributes)
            for name, value in changed.items():
                _put(part, name, value)
                self._restored.add((way, name))


def look_at(value: Any) -> str:
    """A digest of a value, or of a sample of it if it is large."""
    return digest(value) if _is_small(value) else sample_digest(value)


def _looks_of(parts: ByName) -> dict[Place, str]:
    return {
        (way, name): look_at(value)
        for way, part in parts.items()
        for name, value in _attributes_of(part).items()
    }


def _attributes_of(part: Any) -> ByName:
    """The attributes of a part that are its own, and are no parts themselves."""
    not_own = OF_TORCH if isinstance(part, DataLoader) else ()
    return {
        name: value
        for name, value in vars(part).items()
        if name not in not_own and not isinstance(value, Dataset | Sampler)
    }


def _parts_of(loaders: list[Any]) -> ByName:
    """The loaders, and the samplers and data sets that they hold, by the way to each."""
    found = {f"/{number}": loader for number, loader in enumerate(loaders)}
    return {
        way: part
        for way, part in (found | found_in((Dataset, Sampler), *loaders)).items()
        if hasattr(part, "__dict__")
    }


def _with_own_state(loaders: list[Any]) -> set[int]:
    found = [
        getattr(loader, "dataset", None)
        for loader in loaders
        if not getattr(loader, "num_workers", 0)
    ]
    return {id(data) for data in found if is_stateful(data)}


def _is_small(value: Any) -> bool:
    """True for a value that is cheap to keep and that a checkpoint may hold."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf" and value.size <= MOST
    if isinstance(value, Tensor):
        return type(value) is Tensor and value.numel() <= MOST
    if isinstance(value, Mapping):
        is_short = len(value) <= PARTS and all(type(key) in SCALARS for key in value)
        return is_short and all(map(_is_small, value.values()))
    if isinstance(value, list | tuple | deque):
        return len(value) <= PARTS and all(map(_is_small, value))
    return type(value) in SCALARS or isinstance(value, np.generic)


def _put(part: Any, name: str, kept: Any) -> None:
    """Give an attribute its value, in the object that is there, which others may hold too."""
    restoring = Restoring()
    restoring.into(kept, getattr(part, name, None))
    vars(part)[name] = restoring.value(kept)

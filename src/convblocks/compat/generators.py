"""Random generators, the global ones and those that objects hold, and their states in plain values."""

import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from inspect import getclosurevars
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

KINDS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)

# How far to look into objects, and how many items of a container to look at.
DEPTH, ITEMS = 12, 1000

# What is not looked into: what holds no generators, and the iterator of a loader, which a resume replaces.
LEAVES = (str, bytes, int, float, Tensor, np.ndarray, type, ModuleType, random.SystemRandom)
ITERATOR = "_iterator"


def global_generators() -> dict[str, Any]:
    """Those of torch, its current CUDA device, Python and NumPy, by names."""
    found = {"torch": torch.default_generator, "python": random._inst, "numpy": np.random.mtrand._rand}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found["cuda"] = torch.cuda.default_generators[torch.cuda.current_device()]
    return found


def generators_in(thing: Any, name: str) -> dict[str, Any]:
    """Those that an object holds, in its attributes, containers and functions too, by their names."""
    return dict(_found(thing, name, set(), DEPTH))


def states_of(generators: Mapping[str, Any]) -> dict[str, Any]:
    """Their states, in tensors and plain values."""
    return {name: _state(generator) for name, generator in generators.items()}


def restore(generators: Mapping[str, Any], states: Mapping[str, Any]) -> None:
    """Give each its state, by its name."""
    for name in generators.keys() & states.keys():
        generator, state = generators[name], states[name]
        if isinstance(generator, torch.Generator):
            text = isinstance(state, str)
            # A copy, since torch 2.13 crashes with a view.
            generator.set_state(torch.tensor([*bytes.fromhex(state)], dtype=torch.uint8) if text else state.clone())
        elif isinstance(generator, random.Random):
            version, internal, following = state
            generator.setstate((version, tuple(internal), following))
        elif isinstance(generator, np.random.Generator):
            generator.bit_generator.state = state
        else:
            generator.set_state(state)


def _state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    is_new = isinstance(generator, np.random.Generator)
    return _plain(generator.bit_generator.state if is_new else generator.get_state(legacy=False))


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _plain(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


def _found(thing: Any, name: str, seen: set[int], depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, LEAVES) or id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, KINDS):
        yield name, thing
    elif depth:
        for inner, value in islice(_inside(thing), ITEMS):
            if inner != ITERATOR:
                yield from _found(value, f"{name}.{inner}", seen, depth - 1)


def _inside(thing: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(thing, dict):
        return thing.items()
    if isinstance(thing, list | tuple | set | deque):
        return enumerate(thing)
    if isinstance(thing, partial):
        return {"func": thing.func, "args": thing.args, "keywords": thing.keywords}.items()
    if isinstance(thing, FunctionType):
        return getclosurevars(thing).nonlocals.items()
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    own = {name: getattr(thing, name, None) for name in ("__self__", *slots) if isinstance(name, str)}
    return (own | getattr(thing, "__dict__", {})).items()

"""Random generators, the global ones and those that objects hold, and their states in
plain values.
"""

import gc
import random
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor

KINDS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)

# How far to look into objects, and how many items of a container to look at.
DEPTH, PARTS = 24, 1000

# What is not looked into.
LEAVES = (
    str,
    bytes,
    int,
    float,
    Tensor,
    np.ndarray,
    type,
    ModuleType,
    random.SystemRandom,
    Trainer,
)


def global_generators() -> dict[str, Any]:
    """Those of torch, its current CUDA device, Python and NumPy, by names."""
    generators = {
        "torch": torch.default_generator,
        "python": random._inst,
        "numpy": np.random.mtrand._rand,
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        generators["cuda"] = torch.cuda.default_generators[torch.cuda.current_device()]
    return generators


def generators_in(*objects: Any) -> dict[str, Any]:
    """Those that objects hold, in attributes, containers, methods and functions,
    numbered as they are found.

    The iterator of a loader is left out, which a resume replaces.
    """
    seen = {id(getattr(thing, "_iterator", None)) for thing in objects}
    generators: list[Any] = []
    level: Iterable[Any] = objects
    for _ in range(DEPTH):
        unseen = {
            id(thing): thing
            for thing in level
            if id(thing) not in seen and not isinstance(thing, LEAVES)
        }
        seen |= unseen.keys()
        generators += [thing for thing in unseen.values() if isinstance(thing, KINDS)]
        level = [
            part
            for thing in unseen.values()
            if not isinstance(thing, KINDS)
            for part in _parts(thing)
        ]
    return {
        f"{type(generator).__name__} {number}": generator
        for number, generator in enumerate(generators)
    }


def _parts(thing: Any) -> Iterable[Any]:
    """The first parts of an object, one level deep."""
    if isinstance(thing, dict):
        return islice(thing.values(), PARTS)
    if isinstance(thing, list | tuple | set | deque):
        return islice(thing, PARTS)
    if isinstance(thing, FunctionType):
        return thing.__closure__ or ()  # without the globals of its module
    return gc.get_referents(thing)


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
            generator.set_state(
                torch.tensor([*bytes.fromhex(state)], dtype=torch.uint8) if text else state.clone()
            )
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

"""Keeps the generators of random numbers: the global ones, and those that loaders, data,
the module and callbacks hold.
"""

import ctypes
import gc
import logging
import random
from argparse import ArgumentParser
from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers.classes import is_frameworks
from exact_resume.keepers.values import plain
from exact_resume.lightning_private import ITERATOR
from exact_resume.training import ByName, callbacks_of, loaders_of

KINDS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)

# A generator without a state, whose numbers nobody can repeat.
UNREPEATABLE = random.SystemRandom

# The limits of a search: objects that are looked into, levels below the first object, and
# items of a container.
OBJECTS, DEPTH, PARTS = 1_000_000, 50, 1000

# Types that a search does not look into; the last four would make it take tens of milliseconds.
LEAVES = (
    *(str, bytes, int, float, type, ModuleType, Tensor, np.ndarray, Trainer),
    *(Keeper, Logger, logging.Logger, ArgumentParser),
)


class Generators(Keeper):
    """Keeps the states of all generators, in plain values."""

    kind = "random"

    def state(self, moment: Moment) -> State:
        return states_of(generators_of(self.trainer))

    def restore(self, state: State) -> None:
        set_states(generators_of(self.trainer), state)

    restore_end = restore  # since what follows the training may draw numbers too


def generators_of(trainer: Trainer) -> ByName:
    """The global generators of this process, and those that its loaders, its module, its
    data module and the user's callbacks hold.
    """
    owners = trainer.lightning_module, getattr(trainer, "datamodule", None)
    loaders = *loaders_of(trainer), trainer.val_dataloaders
    callbacks = callbacks_of(trainer, Callback)
    users = [callback for callback in callbacks if not is_frameworks(type(callback))]
    return all_generators(*loaders, *owners, *users)


def all_generators(*objects: Any) -> ByName:
    """The global generators of torch, its current CUDA device, Python and NumPy, and
    those that objects hold.

    The modules ``random`` and ``numpy.random`` stand for their global generators, since they
    have the functions that get and set the state.
    """
    generators = {"torch": torch.default_generator, "python": random, "numpy": np.random}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        generators["cuda"] = torch.cuda.default_generators[torch.cuda.current_device()]
    return generators | generators_in(*objects)


def generators_in(*objects: Any) -> ByName:
    """The generators that objects hold, in attributes, containers, methods and functions.
    Each is named by the way to it, such as ``/0/dataset/generator``, so that one that comes
    or goes leaves the names of the others.
    """
    found = found_in(KINDS, *objects)
    return {way: thing for way, thing in found.items() if not isinstance(thing, UNREPEATABLE)}


def found_in(kinds: tuple[type, ...], *objects: Any) -> ByName:
    """The objects of these kinds among the given ones and inside them, each named by the way
    to it.

    The iterators of loaders are left out, since a resume replaces them.
    """
    seen = {id(ITERATOR.of(thing, None)) for thing in objects}
    ways, found = [(f"/{number}", thing) for number, thing in enumerate(objects)], {}
    # `ways` is a queue: the loop also visits what it appends.
    for way, thing in islice(ways, OBJECTS):
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, kinds):
            found[way] = thing
        if isinstance(thing, LEAVES):
            continue
        if way.count("/") < DEPTH and not isinstance(thing, KINDS):
            ways += [(f"{way}/{name}", part) for name, part in _parts(thing)]
    return found


def _parts(thing: Any) -> Iterable[tuple[Any, Any]]:
    """The first parts of an object, one level deep, each with its name, key or number."""
    if isinstance(thing, FunctionType):
        return enumerate(thing.__closure__ or ())  # without the globals of its module
    if isinstance(thing, dict):
        # A key that is no string may have another text in another process, so it has a number.
        items = enumerate([*islice(thing.items(), PARTS)])
        return [(key if isinstance(key, str) else number, part) for number, (key, part) in items]
    if isinstance(thing, list | tuple | set | deque):
        return [*islice(enumerate(thing), PARTS)]
    # Attributes come first, by name. Among the referents their places differ, since Python makes
    # the dictionary of an object only when something asks for it; but only there are slots, and
    # what classes written in C hold.
    return [*getattr(thing, "__dict__", {}).items(), *enumerate(gc.get_referents(thing))][:PARTS]


def states_of(generators: ByName) -> State:
    """The states of generators, by the same names, in plain values."""
    return {name: plain(_state(generator)) for name, generator in generators.items()}


def _state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return bytes(generator.get_state().numpy())
    if isinstance(generator, np.random.Generator):
        return _listed(generator.bit_generator.state)
    if hasattr(generator, "getstate"):  # Python's
        return generator.getstate()
    return _listed(generator.get_state(legacy=False))


def _listed(state: Any) -> Any:
    """The state with lists for arrays, since workers get it as text, by repr and literal_eval."""
    if isinstance(state, dict):
        return {name: _listed(part) for name, part in state.items()}
    return state.tolist() if isinstance(state, np.ndarray | np.generic) else state


def set_states(generators: ByName, states: State) -> None:
    """Give each generator the state of its name, if there is one."""
    for name in generators.keys() & states.keys():
        generator, state = generators[name], states[name]
        if isinstance(generator, torch.Generator):
            generator.set_state(torch.tensor([*state], dtype=torch.uint8))
        elif isinstance(generator, np.random.Generator):
            generator.bit_generator.state = state
        elif hasattr(generator, "setstate"):
            generator.setstate(state)
        else:
            generator.set_state(state)


class Note:
    """Knows the state of a generator at each batch, and at little cost whether it has drawn.

    That matters for NumPy's global generator: to ask for its state takes 45 µs, to compare
    its memory with what it was the last time 1 µs.
    """

    def __init__(self, generator: Any) -> None:
        self.generator = generator
        self._memory = _memory_of(generator)
        self._last: Any = None
        self._state: Any = None

    def now(self) -> Any:
        """The present state: the same object as last time if nothing was drawn."""
        current = self._memory() if self._memory else _state(self.generator)
        if self._state is None or not _are_equal(current, self._last):
            self._last = current
            self._state = _state(self.generator) if self._memory else current
        return self._state


def _memory_of(generator: Any) -> Any:
    """A function that reads the memory of NumPy's global generator, if it is a Mersenne
    Twister: 624 numbers of 4 bytes, and a position. None for other generators.
    """
    bits = np.random.get_bit_generator() if generator is np.random else None
    if isinstance(bits, np.random.MT19937):
        return partial(ctypes.string_at, bits.ctypes.state_address, 625 * 4)
    return None


def _are_equal(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return all(_are_equal(left[name], right[name]) for name in left)
    return np.array_equal(left, right) if isinstance(left, np.ndarray) else bool(left == right)

"""Generators of random numbers: the global ones, and those that loaders hold, also in
their worker processes.
"""

import gc
import random
from ast import literal_eval
from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import IterableDataset

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers.values import plain
from exact_resume.lightning_private import ITERATOR
from exact_resume.training import ByName, is_stateful, loaders_of

KINDS = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)

# How many objects to look into, how deep, and how many items of a container to look at.
OBJECTS, DEPTH, PARTS = 1_000_000, 50, 1000

# What is not looked into.
LEAVES = (
    str,
    bytes,
    int,
    float,
    type,
    ModuleType,
    Tensor,
    np.ndarray,
    random.SystemRandom,
    Trainer,
)


class Generators(Keeper):
    """Keeps the states of all generators, in plain values."""

    kind = "random"

    def state(self, moment: Moment) -> State:
        return states_of(generators_of(self.trainer))

    def before_iterating(self, state: State, moment: Moment) -> None:
        self.restore(state)

    def restore(self, state: State) -> None:
        set_states(generators_of(self.trainer), state)

    restore_end = restore  # also where a training had ended already


def generators_of(trainer: Trainer) -> ByName:
    """The global generators of this process, and those that its loaders hold."""
    return all_generators(*loaders_of(trainer), trainer.val_dataloaders)


def all_generators(*objects: Any) -> ByName:
    """The global generators of torch, its current CUDA device, Python and NumPy, and
    those that objects hold.

    A module has the functions of its global generator.
    """
    generators = {"torch": torch.default_generator, "python": random, "numpy": np.random}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        generators["cuda"] = torch.cuda.default_generators[torch.cuda.current_device()]
    return generators | generators_in(*objects)


def generators_in(*objects: Any) -> ByName:
    """Those that objects hold, in attributes, containers, methods and functions, each
    named by the way to it: one that comes or goes leaves the names of the others.

    The iterator of a loader is left out, which a resume replaces.
    """
    seen = {id(ITERATOR.of(thing, None)) for thing in objects}
    ways, generators = [(f"/{number}", thing) for number, thing in enumerate(objects)], {}
    # `ways` is a queue: the loop also visits what it appends.
    for way, thing in islice(ways, OBJECTS):
        if id(thing) in seen or isinstance(thing, LEAVES):
            continue
        seen.add(id(thing))
        if isinstance(thing, KINDS):
            generators[way] = thing
        elif way.count("/") < DEPTH:
            ways += [(f"{way}/{name}", part) for name, part in _parts(thing)]
    return generators


def _parts(thing: Any) -> Iterable[tuple[Any, Any]]:
    """The first parts of an object, one level deep, each with its name, key or number."""
    if isinstance(thing, FunctionType):
        return enumerate(thing.__closure__ or ())  # without the globals of its module
    if isinstance(thing, dict):
        # Keys of other kinds may have another text in another process.
        items = enumerate([*islice(thing.items(), PARTS)])
        return [(key if isinstance(key, str) else number, part) for number, (key, part) in items]
    if isinstance(thing, list | tuple | set | deque):
        return [*islice(enumerate(thing), PARTS)]
    # Python makes the dictionary of an object only when something asks for it.
    return [*getattr(thing, "__dict__", {}).items(), *enumerate(gc.get_referents(thing))][:PARTS]


def states_of(generators: ByName) -> State:
    """Their states, in plain values."""
    return {name: plain(_state(generator)) for name, generator in generators.items()}


def _state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return bytes(generator.get_state().numpy())
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if hasattr(generator, "getstate"):  # Python's
        return generator.getstate()
    return generator.get_state(legacy=False)


def set_states(generators: ByName, states: State) -> None:
    """Give each its state, by its name."""
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


def keep_generators_of_workers(loader: Any) -> None:
    """Let torchdata's loader with worker processes keep their generators with its
    position, as the state of its data set, if that has none.

    Permanently adds two attributes to the user's data set.
    """
    data: Any = getattr(loader, "dataset", None)
    # Of an iterable data set torchdata fetches the batches again.
    has_state = is_stateful(data) or isinstance(data, IterableDataset)
    if getattr(loader, "num_workers", 0) and not has_state and hasattr(data, "__dict__"):
        parts = data, loader.collate_fn
        vars(data).update(
            state_dict=partial(_state_of_worker, *parts),
            load_state_dict=partial(_set_state_of_worker, *parts),
        )


def _state_of_worker(*parts: Any) -> dict[str, str]:
    """The generators of a process, and of parts of its loader: as text, since torchdata
    compares states with the last ones at each batch, number by number.
    """
    return {"generators": repr(states_of(all_generators(*parts)))}


def _set_state_of_worker(data: Any, collate: Any, state: dict[str, str]) -> None:
    set_states(all_generators(data, collate), literal_eval(state["generators"]))

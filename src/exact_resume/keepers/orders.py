"""The order in which a loader gives its data: who decides on it, and whether it can be
drawn again, by a trial; and whether worker processes give the same data again.
"""

from copy import deepcopy
from inspect import isgeneratorfunction
from itertools import islice
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset

from exact_resume.digest import digest
from exact_resume.keepers.generators import all_generators, set_states, states_of
from exact_resume.lightning_private import MAKE_ITERATOR
from exact_resume.training import ByName, is_stateful

# Of an epoch of more batches nothing is known.
MOST = 50_000

# For a worker process to start and give each of two items, in seconds.
PATIENCE = 60

# What the copy of a sampler shares with it: large, and asked, not changed.
SHARED = Dataset, LightningDataModule, nn.Module, Trainer

# Where hooks and samplers are defined that leave the data as they are.
KNOWN = ("lightning.", "pytorch_lightning.", "exact_resume.")


def samplers_of(loader: Any) -> list[Any]:
    """What decides on a loader's order, and what that asks in turn."""
    parts = [getattr(loader, name, None) for name in ("batch_sampler", "sampler")]
    return [part for part in parts if part is not None]


def is_own(sampler: Any) -> bool:
    """Whether a sampler is somebody's own, and keeps no state."""
    is_known = type(sampler).__module__.startswith(("torch", "builtins", *KNOWN))
    return not (is_known or is_stateful(sampler))


def draws_at_once(loader: Any) -> bool:
    """Whether its batch sampler may draw as soon as it is iterated over, which torchdata
    does twice on a resume.
    """
    # The second is the first one's, which iterates over it later.
    sampler, *_ = [*samplers_of(loader), None]
    return is_own(sampler) and not isgeneratorfunction(getattr(type(sampler), "__iter__", None))


def can_skip(loader: Any) -> bool:
    """Whether it is torch's own, without worker processes: batches can be skipped in it
    without reading their data.
    """
    return (
        type(loader).__iter__ is DataLoader.__iter__
        and MAKE_ITERATOR.of(type(loader)) is MAKE_ITERATOR.of(DataLoader)
        and not loader.num_workers
    )


def is_repeated(loader: Any) -> bool | None:
    """Whether a loader's sampler gives the same order again from the same generators,
    all of it drawn with the first index; None if that is not known, or does not matter.

    A copy of it gives two, and all generators are put back.
    """
    samplers = samplers_of(loader)
    if not isinstance(loader, DataLoader):
        return None
    if not (can_skip(loader) or any(map(is_own, samplers))):
        return None
    generators = all_generators(loader)
    before = states_of(generators)
    try:
        size = len(loader)
        if size > MOST:
            return None
        copied = _copy(loader, generators)
        order, is_known = _drawn(copied, size, generators)
        set_states(generators, before)
        other, _ = _drawn(copied, size, generators)
    except Exception:  # it is somebody else's, or has no length
        return None
    finally:
        set_states(generators, before)
    if order == other:
        return is_known or None
    # Lightning may set what makes them differ.
    return None if any(hasattr(sampler, "set_epoch") for sampler in samplers) else False


def _copy(loader: Any, generators: ByName) -> Any:
    """A copy of what decides on a loader's order; it draws from the same generators."""
    samplers = samplers_of(loader)
    held = [part for sampler in samplers for part in getattr(sampler, "__dict__", {}).values()]
    shared = [loader.dataset, getattr(loader.sampler, "data_source", None), *generators.values()]
    shared += [part for part in held if isinstance(part, SHARED)]
    return deepcopy(samplers[0], {id(part): part for part in shared})


def _drawn(sampler: Any, size: int, generators: ByName) -> tuple[list[int], bool]:
    """An order, as hashes of its indices, and whether nothing was drawn after its first."""
    indices = (hash(str(index)) for index in islice(sampler, size))
    order = [*islice(indices, 1)]
    drawn = states_of(generators)
    order += indices
    return order, drawn == states_of(generators)


def gives_other_data(loader: Any) -> bool:
    """Whether a worker process gives two values for one item, since the data draw random
    numbers, or change. False where that cannot be found out.
    """
    try:
        trial = DataLoader(
            loader.dataset,
            batch_size=None,
            sampler=[0, 0],
            num_workers=1,
            timeout=PATIENCE,
            generator=torch.Generator(),
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
        )
        first, second = map(digest, trial)
    except Exception:  # it is somebody else's
        return False
    return first != second

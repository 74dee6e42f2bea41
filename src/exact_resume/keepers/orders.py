"""Questions about the order in which a loader gives its data, and who decides on it."""

from inspect import isgeneratorfunction
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from exact_resume.keepers.classes import is_frameworks
from exact_resume.lightning_private import MAKE_ITERATOR
from exact_resume.training import is_stateful


def draws_at_once(loader: Any) -> bool:
    """True for a loader with a user's own sampler that may draw random numbers as soon as it
    is iterated over: on a resume torchdata iterates twice.
    """
    return any(
        is_own(sampler) and not isgeneratorfunction(getattr(type(sampler), "__iter__", None))
        for name in ("batch_sampler", "sampler")
        if (sampler := getattr(loader, name, None)) is not None
    )


def is_own(sampler: Any) -> bool:
    """True for a sampler of a user's own class that cannot say where it is."""
    return not (is_frameworks(type(sampler)) or is_stateful(sampler))


def is_read_again(loader: Any) -> bool:
    """True for a loader of a stream that cannot say where it is: torchdata then reads all its
    data again, and does not always come to the right place.
    """
    data = getattr(loader, "dataset", None)
    return isinstance(data, IterableDataset) and not is_stateful(data)


def can_skip(loader: Any) -> bool:
    """True for a loader in which batches can be skipped without reading their data: torch's
    own, over data with an index, without worker processes.
    """
    return (
        type(loader).__iter__ is DataLoader.__iter__
        and MAKE_ITERATOR.of(type(loader)) is MAKE_ITERATOR.of(DataLoader)
        and not loader.num_workers
        and not isinstance(loader.dataset, IterableDataset)
    )

"""Who decides on the order in which a loader gives its data."""

from inspect import isgeneratorfunction
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from exact_resume.keepers.classes import is_frameworks
from exact_resume.lightning_private import MAKE_ITERATOR
from exact_resume.training import is_stateful


def draws_at_once(loader: Any) -> bool:
    """Whether a sampler of it may draw as soon as it is iterated over, which torchdata does
    twice on a resume.
    """
    return any(
        is_own(sampler) and not isgeneratorfunction(getattr(type(sampler), "__iter__", None))
        for name in ("batch_sampler", "sampler")
        if (sampler := getattr(loader, name, None)) is not None
    )


def is_own(sampler: Any) -> bool:
    """Whether a sampler is somebody's own, and keeps no state."""
    return not (is_frameworks(type(sampler)) or is_stateful(sampler))


def is_read_again(loader: Any) -> bool:
    """Whether torchdata reads all its data again to go to a place, and is not always right."""
    data = getattr(loader, "dataset", None)
    return isinstance(data, IterableDataset) and not is_stateful(data)


def can_skip(loader: Any) -> bool:
    """Whether it is torch's own over data with an index, without worker processes: batches
    can be skipped in it without reading their data.
    """
    return (
        type(loader).__iter__ is DataLoader.__iter__
        and MAKE_ITERATOR.of(type(loader)) is MAKE_ITERATOR.of(DataLoader)
        and not loader.num_workers
        and not isinstance(loader.dataset, IterableDataset)
    )

"""Whether the order in which a loader gives its data can be drawn again, and whether its
data are the same each time.
"""

from copy import deepcopy
from enum import Enum
from hashlib import blake2b
from itertools import islice
from typing import Any

import torch
from lightning.fabric.utilities.data import sized_len
from torch.utils.data import DataLoader, IterableDataset

from exact_resume.digest import digest
from exact_resume.keepers.generators import generators_in, global_generators, set_states, states_of

# Of more indices the order is not tried.
MOST = 10_000_000

# For a worker process to start and give two items, in seconds.
PATIENCE = 60


class Order(Enum):
    """What a loader's sampler gives when it begins again with the same generators."""

    SAME = "the same order, all drawn with its first index"
    OTHER = "another order"
    UNKNOWN = ""


def samplers_of(loader: Any) -> list[Any]:
    """What decides on a loader's order, and what that asks in turn."""
    parts = [getattr(loader, name, None) for name in ("batch_sampler", "sampler")]
    return [part for part in parts if part is not None]


def order_of(loader: Any, *shared: Any) -> Order:
    """Try it twice, with a copy of a loader's sampler, and put all generators back.

    Args:
        loader: Of any kind.
        shared: What the sampler may refer to and must not be copied.
    """
    size = sized_len(loader)
    is_indexed = isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset)
    if not is_indexed or size is None or (sized_len(loader.sampler) or 0) > MOST:
        return Order.UNKNOWN
    generators = global_generators() | generators_in(loader)
    source = getattr(loader.sampler, "data_source", None)
    known = [loader.dataset, source, *generators.values(), *shared]
    before = states_of(generators)
    try:
        copied = deepcopy(samplers_of(loader)[0], {id(part): part for part in known})
        first = _drawn(copied, size, generators)
        set_states(generators, before)
        second = _drawn(copied, size, generators)
    except Exception:  # it is somebody else's
        return Order.UNKNOWN
    finally:
        set_states(generators, before)
    (order, is_whole, is_drawn_first), (other, *_) = first, second
    if order != other:
        # Lightning may set what makes them differ.
        return Order.UNKNOWN if hasattr(loader.sampler, "set_epoch") else Order.OTHER
    return Order.SAME if is_whole and is_drawn_first else Order.UNKNOWN


def _drawn(sampler: Any, size: int, generators: dict[str, Any]) -> tuple[str, bool, bool]:
    """A digest of an order, whether it is as long as it says, and whether nothing was
    drawn after its first index.
    """
    content, count, drawn = blake2b(), 0, states_of(generators)
    for index in islice(sampler, size + 1):
        content.update(f"{index} ".encode())
        count += 1
        if count == 1:
            drawn = states_of(generators)
    return content.hexdigest(), count == size, drawn == states_of(generators)


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

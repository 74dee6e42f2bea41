"""Whether the order in which a loader gives its data can be drawn again, and whether its
data are the same each time: by a trial.
"""

from copy import deepcopy
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from exact_resume.digest import digest
from exact_resume.keepers.generators import generators_in, global_generators, set_states, states_of

# Of a longer epoch nothing is known.
MOST = 50_000

# For a worker process to start and give two items, in seconds.
PATIENCE = 60


def samplers_of(loader: Any) -> list[Any]:
    """What decides on a loader's order, and what that asks in turn."""
    parts = [getattr(loader, name, None) for name in ("batch_sampler", "sampler")]
    return [part for part in parts if part is not None]


def is_repeated(loader: Any) -> bool | None:
    """Whether a loader's sampler gives the same order again from the same generators,
    all of it drawn with the first index; None if that is not known.

    A copy of it gives two, and all generators are put back.
    """
    if not isinstance(loader, DataLoader):
        return None
    generators = global_generators() | generators_in(loader)
    source = getattr(loader.sampler, "data_source", None)
    shared = [loader.dataset, source, *generators.values()]
    before = states_of(generators)
    try:
        size = min(len(loader), MOST)
        copied = deepcopy(samplers_of(loader)[0], {id(part): part for part in shared})
        order, is_known = _drawn(copied, size, generators)
        set_states(generators, before)
        other, _ = _drawn(copied, size, generators)
    except Exception:  # it is somebody else's, or has no length
        return None
    finally:
        set_states(generators, before)
    if order == other:
        return is_known or None
    # Lightning may set what makes them differ, or the rest of a long one does.
    return None if size == MOST or hasattr(loader.sampler, "set_epoch") else False


def _drawn(sampler: Any, size: int, generators: dict[str, Any]) -> tuple[list[str], bool]:
    """An order, and whether it is as long as it says and nothing was drawn after its
    first index.
    """
    indices = map(str, islice(sampler, size + 1))
    order = [*islice(indices, 1)]
    drawn = states_of(generators)
    order += indices
    return order, len(order) == size and drawn == states_of(generators)


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

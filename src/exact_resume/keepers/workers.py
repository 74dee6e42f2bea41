"""Worker processes of loaders: their generators, and whether their data are the same
each time.
"""

from ast import literal_eval
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from exact_resume.digest import digest
from exact_resume.keepers.generators import all_generators, set_states, states_of
from exact_resume.training import is_stateful

# For a worker process to start and give each of two items, in seconds.
PATIENCE = 60


def _state(*parts: Any) -> dict[str, str]:
    """The generators of a process, and of parts of its loader: as text, since torchdata
    compares states with the last ones at each batch, number by number.
    """
    return {"generators": repr(states_of(all_generators(*parts)))}


def _set_state(data: Any, collate: Any, state: dict[str, str]) -> None:
    set_states(all_generators(data, collate), literal_eval(state["generators"]))


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
            state_dict=partial(_state, *parts), load_state_dict=partial(_set_state, *parts)
        )


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

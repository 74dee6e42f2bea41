"""Keeps the random generators in the worker processes of loaders."""

import time
from ast import literal_eval
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from exact_resume.keepers.generators import Note, all_generators, set_states, states_of
from exact_resume.keepers.sources import look_at
from exact_resume.lightning_private import INDEX_SAMPLER, ITERATOR, SENT, WORKING
from exact_resume.training import has_persistent_workers, is_stateful

# The memory for the states that a worker notes, in bytes: enough for some 20 generators.
MOST = 1 << 18

# The seconds to wait for the next batch of workers that still fetch batches beyond a limit such
# as limit_train_batches; fewer for an iterable data set, which may have ended.
PATIENCE, PATIENCE_AT_END = 60, 1

# The places of what a worker counts: its batches, the bytes of the states that it has noted,
# and whether its data have changed.
BATCHES, BYTES, IS_CHANGED = range(3)


class Noting:
    """Takes the place of a loader's collate function and, by ``start``, of its
    ``worker_init_fn``. After each batch of a worker it notes the worker's generators, in
    memory that processes share, and whether its data have changed. A worker that starts
    takes up the generators that were noted.
    """

    def __init__(self, loader: Any) -> None:
        self.collate, self.init = loader.collate_fn, loader.worker_init_fn
        self.states = torch.zeros(loader.num_workers, MOST, dtype=torch.uint8).share_memory_()
        self.counts = torch.zeros(loader.num_workers, 3, dtype=torch.int64).share_memory_()
        self.before = 0  # batches of all workers, before this epoch
        # Used in a worker only.
        self._notes: dict[str, Note] = {}
        self._known: list[Any] = []
        self._look = ""

    def __call__(self, items: Any) -> Any:
        batch = self.collate(items)
        if info := get_worker_info():
            self._note(info.id, info.dataset)
        return batch

    def start(self, number: int) -> None:
        """Called when a worker starts, in place of ``worker_init_fn``."""
        if self.init:
            self.init(number)
        if text := self.text_of(number):
            info: Any = get_worker_info()
            set_states(all_generators(info.dataset, self.collate), literal_eval(text))
            if isinstance(info.dataset, IterableDataset):
                _skip_iteration(info.dataset)

    def text_of(self, number: int) -> str:
        """The states that a worker has noted last; empty before its first batch."""
        size = int(self.counts[number, BYTES])
        return bytes(self.states[number, :size].numpy()).decode()

    def put(self, number: int, text: str) -> None:
        """Note the states of a worker, as text, if there is memory for them."""
        content = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        if len(content) <= MOST:
            self.states[number, : len(content)] = content
            self.counts[number, BYTES] = len(content)

    def _note(self, number: int, data: Any) -> None:
        batches = int(self.counts[number, BATCHES]) + 1
        if batches.bit_count() == 1:  # a power of two: looking takes its time
            generators = all_generators(data, self.collate)
            if generators.keys() != self._notes.keys():
                self._notes = {name: Note(generator) for name, generator in generators.items()}
                self._known = []
            look = look_at(getattr(data, "__dict__", None))
            self.counts[number, IS_CHANGED] |= look != (self._look or look)
            self._look = look
        now = [note.now() for note in self._notes.values()]
        if not self._known or any(a is not b for a, b in zip(now, self._known, strict=True)):
            self._known = now
            generators = {name: note.generator for name, note in self._notes.items()}
            self.put(number, repr(states_of(generators)))
        self.counts[number, BATCHES] = batches  # at the end, when everything else is noted


def _skip_iteration(data: Any) -> None:
    """Let the next iteration over a data set give nothing, and draw nothing: a worker that
    starts iterates over it at once, before it is asked to begin the epoch.
    """
    kind = type(data)

    def give_nothing(self: Any) -> Any:
        self.__class__ = kind
        return iter(())

    with suppress(TypeError):  # a class with slots refuses it
        data.__class__ = type(kind.__name__, (kind,), {"__iter__": give_nothing})


def note_generators(loader: Any) -> None:
    """Let the persistent workers of torch's own loader note their generators.

    Permanently changes the loader's ``collate_fn`` and ``worker_init_fn``.
    """
    is_torchs = isinstance(loader, DataLoader) and not is_stateful(loader)
    if is_torchs and has_persistent_workers(loader) and not isinstance(loader.collate_fn, Noting):
        loader.collate_fn = noting = Noting(loader)
        loader.worker_init_fn = noting.start


def states_of_workers(loader: Any) -> list[str] | None:
    """The generators of a loader's persistent workers, as text, when they have fetched all
    that they were asked for; None where they do not run.
    """
    if not are_running(loader):
        return None
    noting = getattr(loader, "collate_fn", None)
    if not isinstance(noting, Noting):
        return []
    _wait(loader, noting)
    return [*map(noting.text_of, range(len(noting.counts)))]


def begin_epoch(loader: Any) -> None:
    """To be called before persistent workers begin an epoch."""
    noting = getattr(loader, "collate_fn", None)
    if isinstance(noting, Noting):
        noting.before = int(noting.counts[:, BATCHES].sum())


def data_have_changed(loader: Any) -> bool:
    """True if data have changed in a persistent worker, which no checkpoint can hold."""
    noting = getattr(loader, "collate_fn", None)
    return isinstance(noting, Noting) and bool(noting.counts[:, IS_CHANGED].any())


def _wait(loader: Any, noting: Noting) -> None:
    """Wait until the workers have fetched the batches that they were asked for in this
    epoch.
    """
    iterator = ITERATOR.of(loader)
    may_end = isinstance(loader.dataset, IterableDataset)
    fetched, since = -1, time.monotonic()
    while not may_end or any(WORKING.of(iterator)):
        now = int(noting.counts[:, BATCHES].sum()) - noting.before
        if now >= SENT.of(iterator):
            break
        if now > fetched:
            fetched, since = now, time.monotonic()
        elif time.monotonic() - since > (PATIENCE_AT_END if may_end else PATIENCE):
            break
        time.sleep(0.001)


def are_running(loader: Any) -> bool:
    """True if a loader's persistent workers are running."""
    return has_persistent_workers(loader) and ITERATOR.of(loader, None) is not None


def start_workers(loaders: list[Any], states: list[list[str] | None]) -> None:
    """Start persistent workers as they were, without any work, and leave the generators of
    this process as they are: a loader draws a number when it starts them, once in a
    training.
    """
    generators = all_generators(*loaders)
    before = states_of(generators)
    for loader, texts in zip(loaders, states, strict=False):
        if texts is not None and has_persistent_workers(loader) and not are_running(loader):
            _start(loader, texts)
    set_states(generators, before)


def _start(loader: Any, texts: list[str]) -> None:
    noting = loader.collate_fn
    if not isinstance(noting, Noting):
        iter(loader)
        return
    for number, text in enumerate(texts[: len(noting.counts)]):
        noting.put(number, text)
    name = "batch_sampler" if loader.batch_sampler is not None else "sampler"
    indices = vars(loader)[name]
    vars(loader)[name] = []
    try:
        iterator = iter(loader)
    finally:
        vars(loader)[name] = indices
    INDEX_SAMPLER.replace(iterator, indices)


def keep_generators_of_workers(loader: Any) -> None:
    """Let torchdata's loader with worker processes keep their generators with its
    position, as the state of its data set, if that has none.

    Permanently adds two attributes to the user's data set.
    """
    data: Any = getattr(loader, "dataset", None)
    # An iterable data set needs none: torchdata fetches its batches again.
    has_state = is_stateful(data) or isinstance(data, IterableDataset)
    has_workers = is_stateful(loader) and bool(getattr(loader, "num_workers", 0))
    if has_workers and not has_state and hasattr(data, "__dict__"):
        parts = data, loader.collate_fn
        vars(data).update(
            state_dict=partial(_state_of_worker, *parts),
            load_state_dict=partial(_set_state_of_worker, *parts),
        )


def has_generators_of_workers(data: Any) -> bool:
    """True if ``keep_generators_of_workers`` has given a data set its state."""
    state = getattr(data, "__dict__", {}).get("state_dict")
    return isinstance(state, partial) and state.func is _state_of_worker


def _state_of_worker(*parts: Any) -> dict[str, str]:
    """The states of the global generators of a worker, and of those that parts of its loader
    hold: as one text, since torchdata compares a state with the last one at each batch, part
    by part.
    """
    return {"generators": repr(states_of(all_generators(*parts)))}


def _set_state_of_worker(data: Any, collate: Any, state: dict[str, str]) -> None:
    set_states(all_generators(data, collate), literal_eval(state["generators"]))

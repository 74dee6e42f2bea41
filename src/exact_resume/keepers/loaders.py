"""Where training loaders are, and what those of torch and torchdata need beyond their
``state_dict`` to go on exactly.
"""

import io
from ast import literal_eval
from itertools import chain, islice
from typing import Any

import torch
from lightning.fabric.utilities import data as lightning_data
from lightning.pytorch import Trainer
from torch.utils.data import IterableDataset

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers.generators import (
    generators_in,
    generators_of,
    global_generators,
    set_states,
    states_of,
)
from exact_resume.keepers.values import SCALARS, plain
from exact_resume.lightning_private import (
    BEFORE_ITERATING,
    COMBINED_BY,
    FETCHER,
    INDICES,
    IS_RESUMING,
    ITERATOR,
    SET_EPOCH,
    TRAIN_LOADERS,
)
from exact_resume.training import loaders_of

# The module of a class that cannot go on exactly from its own ``state_dict``.
HUGGING_FACE = "datasets.iterable_dataset"


class Loaders(Keeper):
    """Keeps the position of training loaders that have ``state_dict`` and
    ``load_state_dict``, and the batches that Lightning has fetched ahead.

    In the middle of an epoch a loader may draw the order of the epoch again: for this
    it keeps all generators as they were when the loaders began to iterate. At the end
    of one it keeps the ``state_dict`` of data sets that have one.
    """

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        self._generators_at_epoch_start: State = {}
        fit_loop, epoch_loop = trainer.fit_loop, trainer.fit_loop.epoch_loop
        load_states, start_epoch = BEFORE_ITERATING.of(fit_loop), epoch_loop.on_run_start

        def note_first_time() -> None:
            for loader in loaders_of(trainer):
                keep_generators_of_workers(loader)
            self._generators_at_epoch_start = states_of(generators_of(trainer))
            load_states()

        def note_later(data_fetcher: Any) -> None:
            is_resumed = fit_loop.is_resuming or epoch_loop.restarting
            if trainer.current_epoch > 0 and not is_resumed:
                self._generators_at_epoch_start = states_of(generators_of(trainer))
            start_epoch(data_fetcher)

        # Lightning iterates over the loaders right after each of these: setup_data of the
        # first epoch or of a resume, and the start of each later epoch.
        BEFORE_ITERATING.replace(fit_loop, note_first_time)
        epoch_loop.on_run_start = note_later  # type: ignore[method-assign]

    def state(self, moment: Moment) -> State:
        if moment is Moment.EPOCH_END:
            return {"data": [_state_of_data(data) for data in self._stateful_data()]}
        if self.lost_position():
            return {}
        return {
            "began": self._generators_at_epoch_start,
            "positions": [loader.state_dict() for loader in loaders_of(self.trainer)],
            "fetched": self._fetched_ahead(),
        }

    def restore(self, state: State) -> None:
        if "data" in state:
            self._restore_data(state["data"])
        elif state:
            self._restore_positions(state)

    def lost_position(self) -> str:
        loaders, combined = loaders_of(self.trainer), TRAIN_LOADERS.of(self.trainer.fit_loop)
        if not all(map(is_stateful, loaders)):
            return "To resume within one, use torchdata's StatefulDataLoader"
        if len(loaders) > 1 and (
            COMBINED_BY.of(combined) == "max_size" or lightning_data.sized_len(combined) is None
        ):
            return "The training loaders are combined by max_size, or one of them has no length"
        if self.trainer.reload_dataloaders_every_n_epochs:  # type: ignore[attr-defined]  # is set
            return "reload_dataloaders_every_n_epochs makes other training loaders"
        data_sets = [getattr(loader, "dataset", None) for loader in loaders]
        if HUGGING_FACE in {type(data).__module__ for data in data_sets}:
            return "An iterable data set of Hugging Face cannot continue exactly from a position"
        if not _is_plain(self._fetched_ahead()):
            return (
                "The training loader has no length, and its batches are more than tensors "
                "and plain values"
            )
        return ""

    def _restore_data(self, states: list[tuple[Any, State]]) -> None:
        for data, (known, attributes) in zip(self._stateful_data(), states, strict=False):
            data.load_state_dict(known)
            # load_state_dict may have set a position, at which the next epoch must not
            # begin: set the attributes back to what they were at the end of the epoch.
            vars(data).update(attributes)
        IS_RESUMING.replace(self.trainer.fit_loop, False)

    def _restore_positions(self, state: State) -> None:
        loaders, fetcher = loaders_of(self.trainer), FETCHER.of(self.trainer.fit_loop)
        self._generators_at_epoch_start = state["began"]
        set_states(generators_of(self.trainer), self._generators_at_epoch_start)
        for loader, position in zip(loaders, state["positions"], strict=True):
            SET_EPOCH.of(lightning_data)(loader, self.trainer.current_epoch)
            loader.load_state_dict(position)
        # Lightning has already called iter() on the loaders (a) with states that are now
        # replaced, so iterate again (b) without fetching ahead, since the saved positions
        # lie behind those batches, which (c) are put back.
        fetcher.prefetch_batches = 0
        iter(fetcher)
        fetcher.prefetch_batches = 1  # Lightning's default, which some fetchers do not have
        fetcher.batches = state["fetched"]
        for loader in loaders:
            iterator = ITERATOR.of(loader, None)
            indices = INDICES.of(iterator, None)
            # torchdata skips lazily: take one index now, so that the sampler draws
            # before the generators are restored.
            if isinstance(indices, islice):
                INDICES.replace(iterator, chain(list(islice(indices, 1)), indices))

    def _fetched_ahead(self) -> list[Any]:
        """The batches that Lightning has fetched to notice the last one: of loaders
        without a length.
        """
        return list(getattr(FETCHER.of(self.trainer.fit_loop), "batches", ()))

    def _stateful_data(self) -> list[Any]:
        """The data sets of the training loaders that have a ``state_dict``; workers
        have copies of theirs.
        """
        found = [
            getattr(loader, "dataset", None)
            for loader in loaders_of(self.trainer)
            if not getattr(loader, "num_workers", 0)
        ]
        return [data for data in found if is_stateful(data) and hasattr(data, "__dict__")]


def is_stateful(part: Any) -> bool:
    """Whether a loader or a data set can say where it is, and go there."""
    return hasattr(part, "state_dict") and hasattr(part, "load_state_dict")


def _is_plain(batches: list[Any]) -> bool:
    """Whether a checkpoint may hold them."""
    content = io.BytesIO()
    try:
        torch.save(batches, content)
        content.seek(0)
        torch.load(content, weights_only=True)
    except Exception:  # pickles of any object raise many types
        return False
    return True


def _state_of_data(data: Any) -> tuple[Any, State]:
    """Its ``state_dict``, and its attributes that are numbers, strings or None."""
    attributes = {name: value for name, value in vars(data).items() if type(value) in SCALARS}
    return data.state_dict(), plain(attributes)


class GeneratorsOfWorker:
    """Lets torchdata's loader keep, as the state of its data set, the generators of
    each worker process.
    """

    def __init__(self, loader: Any) -> None:
        self.parts = loader.dataset, loader.collate_fn

    def state_dict(self) -> dict[str, str]:
        """As text, since torchdata compares states with the last ones at each batch,
        number by number.
        """
        return {"generators": repr(states_of(self._generators()))}

    def load_state_dict(self, state_dict: dict[str, str]) -> None:
        set_states(self._generators(), literal_eval(state_dict["generators"]))

    def _generators(self) -> dict[str, Any]:
        return global_generators() | generators_in(*self.parts)


def keep_generators_of_workers(loader: Any) -> None:
    """Let a loader with worker processes keep their generators with its position, if
    its data set has no state.

    Permanently adds two attributes to the user's data set.
    """
    data: Any = getattr(loader, "dataset", None)
    # Of an iterable data set torchdata fetches the batches again.
    has_state = is_stateful(data) or isinstance(data, IterableDataset)
    if getattr(loader, "num_workers", 0) and not has_state and hasattr(data, "__dict__"):
        generators = GeneratorsOfWorker(loader)
        vars(data).update(
            state_dict=generators.state_dict, load_state_dict=generators.load_state_dict
        )

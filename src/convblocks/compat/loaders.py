"""What loaders of torch and torchdata need beyond their state_dict to resume exactly."""

import io
import json
from itertools import chain, islice
from typing import Any

import torch
from lightning.fabric.utilities.data import sized_len
from lightning.fabric.utilities.types import _Stateful
from lightning.pytorch import Trainer
from torch.utils.data import IterableDataset

from convblocks.compat.generators import generators_in, global_generators, restore, states_of
from convblocks.run.process_state import Keeper, State, loaders_of

# The module of a class that cannot go on exactly from its own ``state_dict``.
HUGGING_FACE = "datasets.iterable_dataset"


class Loaders(Keeper):
    """Keeps the generators of training loaders, and the batches that Lightning has
    fetched ahead.

    In the middle of an epoch a loader may draw the order of the epoch again: for this
    it keeps all generators as they were when the loaders began to iterate. At the end
    of one it keeps the ``state_dict`` of data sets that have one.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer)
        self._began: State = {}
        fit_loop, epoch_loop = trainer.fit_loop, trainer.fit_loop.epoch_loop
        after_making, later = fit_loop._load_combined_loader_states, epoch_loop.on_run_start

        def note_after_making() -> None:
            for loader in loaders_of(trainer):
                keep_generators_of_workers(loader)
            self._began = states_of(self._generators())
            after_making()

        def note_later(data_fetcher: Any) -> None:
            if trainer.current_epoch > 0 and not fit_loop.is_resuming and not epoch_loop.restarting:
                self._began = states_of(self._generators())
            later(data_fetcher)

        # Lightning lets the loaders begin to iterate right after each of these.
        fit_loop._load_combined_loader_states = note_after_making  # type: ignore[method-assign]
        epoch_loop.on_run_start = note_later  # type: ignore[method-assign]

    def state(self, within_epoch: bool) -> State:
        state: State = {"generators": states_of(self._generators())}
        if not within_epoch:
            return state | {"data": [_state_of_data(data) for data in self._stateful_data()]}
        if not self.lost_position():
            state |= {"began": self._began, "fetched": self._fetched_ahead()}
        return state

    def restore(self, state: State | None, within_epoch: bool) -> None:
        if state is None:
            return
        if within_epoch:
            self._began = state["began"]
            restore(self._generators(), self._began)
            fetcher: Any = self.trainer.fit_loop._data_fetcher
            fetcher.prefetch_batches = (
                0  # the loaders' position is behind the batches that were fetched ahead
            )
            return
        restore(self._generators(), state["generators"])
        for data, (known, values) in zip(self._stateful_data(), state["data"], strict=False):
            data.load_state_dict(known)
            vars(data).update(values)  # such as a position, which the next epoch must not begin at

    def restore_position(self, state: State) -> None:
        fetcher: Any = self.trainer.fit_loop._data_fetcher
        fetcher.prefetch_batches, fetcher.batches = 1, state["fetched"]
        for loader in loaders_of(self.trainer):
            iterator: Any = getattr(
                loader, "_iterator", None
            )  # torchdata's may go to its position at the next batch
            if isinstance(indices := getattr(iterator, "_sampler_iter", None), islice):
                iterator._sampler_iter = chain(list(islice(indices, 1)), indices)
        restore(self._generators(), state["generators"])

    def lost_position(self) -> str:
        combined: Any = self.trainer.fit_loop._combined_loader
        are_several = combined is not None and len(combined.flattened) > 1
        if are_several and (combined._mode == "max_size" or sized_len(combined) is None):
            return "The training loaders are combined by max_size, or one of them has no length"
        if getattr(
            self.trainer, "reload_dataloaders_every_n_epochs", 0
        ):  # Lightning sets it at run time
            return "reload_dataloaders_every_n_epochs makes other training loaders"
        if any(type(data).__module__ == HUGGING_FACE for data in self._stateful_data()):
            return "An iterable data set of Hugging Face cannot continue exactly from a position"
        try:
            content = io.BytesIO()
            torch.save(self._fetched_ahead(), content)
            torch.load(io.BytesIO(content.getvalue()), weights_only=True)
        except Exception:  # pickles of any object raise many types
            return "The training loader has no length, and its batches are more than tensors and plain values"
        return ""

    def _generators(self) -> State:
        evaluated = self.trainer.fit_loop.epoch_loop.val_loop._combined_loader
        loaders = [*loaders_of(self.trainer), *(() if evaluated is None else evaluated.flattened)]
        return global_generators() | generators_in(*loaders)

    def _fetched_ahead(self) -> list[Any]:
        """The batches that Lightning has fetched to notice the last one: of loaders
        without a length.
        """
        return list(getattr(self.trainer.fit_loop._data_fetcher, "batches", ()))

    def _stateful_data(self) -> list[Any]:
        """The data sets of the training loaders that have a ``state_dict``; workers
        have copies of theirs.
        """
        loaders = [
            loader for loader in loaders_of(self.trainer) if not getattr(loader, "num_workers", 0)
        ]
        data = [getattr(loader, "dataset", None) for loader in loaders]
        return [
            dataset
            for dataset in data
            if isinstance(dataset, _Stateful) and hasattr(dataset, "__dict__")
        ]


make_keeper = Loaders  # for any training


def _state_of_data(data: Any) -> tuple[Any, State]:
    """Its ``state_dict``, and its attributes that are numbers, words or None."""
    numbers = {
        name: value
        for name, value in vars(data).items()
        if isinstance(value, int | float | str | None)
    }
    return data.state_dict(), numbers


class GeneratorsOfWorker:
    """Lets torchdata's loader keep, as the state of its data set, the generators of
    each worker process.
    """

    def __init__(self, loader: Any) -> None:
        self.parts = loader.dataset, loader.collate_fn

    def state_dict(self) -> dict[str, str]:
        """As JSON, since torchdata compares states with the last ones at each batch,
        number by number.
        """
        return {
            "generators": json.dumps(
                states_of(self._generators()), default=lambda state: bytes(state.numpy()).hex()
            )
        }

    def load_state_dict(self, state_dict: dict[str, str]) -> None:
        restore(self._generators(), json.loads(state_dict["generators"]))

    def _generators(self) -> dict[str, Any]:
        return global_generators() | generators_in(*self.parts)


def keep_generators_of_workers(loader: Any) -> None:
    """Let a loader with worker processes keep their generators with its position, if
    its data set has no state.
    """
    data: Any = getattr(loader, "dataset", None)
    is_iterable = isinstance(data, IterableDataset)  # torchdata fetches its batches again
    if not isinstance(loader, _Stateful) or not getattr(loader, "num_workers", 0) or is_iterable:
        return
    if not isinstance(data, _Stateful) and hasattr(data, "__dict__"):
        generators = GeneratorsOfWorker(loader)
        vars(data).update(
            state_dict=generators.state_dict, load_state_dict=generators.load_state_dict
        )

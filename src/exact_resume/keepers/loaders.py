"""Where training loaders are, and what those of torch and torchdata need beyond their
``state_dict`` to go on exactly.
"""

from itertools import chain, islice
from typing import Any
from warnings import filterwarnings

from lightning.fabric.utilities import data as lightning_data
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_only

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers.generators import (
    generators_of,
    keep_generators_of_workers,
    set_states,
    states_of,
)
from exact_resume.keepers.orders import (
    KNOWN,
    can_skip,
    draws_at_once,
    gives_other_data,
    is_own,
    is_repeated,
    samplers_of,
)
from exact_resume.keepers.values import SCALARS, is_plain, plain
from exact_resume.lightning_private import (
    COMBINED_BY,
    FETCHER,
    INDICES,
    IS_RESUMING,
    ITERATOR,
    MADE_ITERATORS,
    SET_EPOCH,
    TRAIN_LOADERS,
)
from exact_resume.training import (
    ByName,
    callbacks_of,
    has_persistent_workers,
    is_stateful,
    loaders_of,
    say,
    validation_loaders_of,
)

# The module of a class that cannot go on exactly from its own ``state_dict``.
HUGGING_FACE = "datasets.iterable_dataset"

# Of each data set its ``state_dict``, and its attributes that are numbers, strings or None.
DataStates = list[tuple[Any, State]]


class Loaders(Keeper):
    """Keeps the position of training loaders that have ``state_dict`` and
    ``load_state_dict``, and the batches that Lightning has fetched ahead.

    In the middle of an epoch a loader may draw the order of the epoch again: for this
    it keeps all generators as they were when the loaders began to iterate. At the end
    of one it keeps the ``state_dict`` of data sets that have one.

    Of a single loader of torch's own, without worker processes, it keeps the generators
    as they were before the first index, and how many batches were taken: on a resume the
    sampler draws the same order, and gives that many without reading their data.
    """

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        self._generators_at_epoch_start: State = {}
        # After Lightning has iterated for a resume at the end of an epoch.
        self._generators_after: State = {}
        # Of each loader, tried before it iterates.
        self._are_repeated: list[bool | None] = []
        trainer.fit_loop.reset = self._note_iterated  # type: ignore[method-assign]
        trainer.fit_loop.epoch_loop.on_run_start = self._start_epoch  # type: ignore[method-assign]

    @property
    def _loaders(self) -> list[Any]:
        return loaders_of(self.trainer)

    def _set_epoch(self) -> None:
        for loader in self._loaders:
            SET_EPOCH.of(lightning_data)(loader, self.trainer.current_epoch)

    def before_iterating(self, state: State, moment: Moment) -> None:
        for loader in self._loaders:
            keep_generators_of_workers(loader)
        # A resume of a checkpoint that knows of no position begins anywhere.
        is_known = state or not self.trainer.fit_loop.is_resuming
        self._are_repeated = [*map(is_repeated, self._loaders)] if is_known else []
        self._resumes_at_end = bool(state) and moment is Moment.EPOCH_END
        if self._resumes_at_end:
            self._data = state["data"]
            self._restore_data(self._data)
            self._set_epoch()
        self._generators_at_epoch_start = states_of(generators_of(self.trainer))

    def _note_iterated(self) -> None:
        """Called when Lightning has iterated over the loaders, before a training starts."""
        if self._resumes_at_end:
            self._generators_after = states_of(generators_of(self.trainer))
        self._resumes_at_end = False  # a finder may run the loop again
        fit_loop = self.trainer.fit_loop
        type(fit_loop).reset(fit_loop)

    def _start_epoch(self, data_fetcher: Any) -> None:
        """Called before Lightning iterates at the start of an epoch, but for the first
        one of a training.
        """
        fit_loop, epoch_loop = self.trainer.fit_loop, self.trainer.fit_loop.epoch_loop
        generators = generators_of(self.trainer)
        if self._generators_after:
            self._take_up(generators)
        elif self.trainer.current_epoch > 0 and not (fit_loop.is_resuming or epoch_loop.restarting):
            self._generators_at_epoch_start = states_of(generators)
        type(epoch_loop).on_run_start(epoch_loop, data_fetcher)
        if fit_loop.batch_idx < 0 and not all(map(is_stateful, self._loaders)):
            # Torch's own draw their order only now, after the hooks of the start.
            self._generators_at_epoch_start = states_of(generators)

    def _take_up(self, generators: ByName) -> None:
        """At the start of an epoch, on a resume: keep the iterators that Lightning has
        made before, if they are those that it would make now.
        """
        before, now = self._generators_at_epoch_start, states_of(generators)
        after, self._generators_after = self._generators_after, {}
        if any(map(has_persistent_workers, self._loaders)):
            reason = "persistent workers draw other numbers when they start"
        elif self.trainer.world_size > 1:
            reason = "each of several processes begins with what was drawn before"
        elif self._is_hook_set() or not before.items() <= now.items():
            reason = (
                "on_train_epoch_start, which is called in between, may draw random numbers or "
                "change the data"
            )
        else:
            set_states(generators, after)
            return
        self._generators_at_epoch_start = now
        self._restore_data(self._data)
        IS_RESUMING.replace(self.trainer.fit_loop, False)
        if any(map(_reads_ahead, self._loaders)):
            say(f"the training loaders iterate twice for this resume, since {reason}")

    def _is_hook_set(self) -> bool:
        """Whether somebody may change what a loader reads just before it iterates."""
        parts = [self.module, *callbacks_of(self.trainer, Callback)]
        places = [getattr(part.on_train_epoch_start, "__module__", "") for part in parts]
        return not all(place.startswith(KNOWN) for place in places)

    def state(self, moment: Moment) -> State:
        if moment is Moment.EPOCH_END:
            return {"data": self._states_of_data()}
        if self.lost_position():
            return {}
        return {
            "began": self._generators_at_epoch_start,
            "positions": [*map(self._position, self._loaders)],
            "fetched": self._fetched_ahead(),
        }

    def _position(self, loader: Any) -> Any:
        if is_stateful(loader):
            return loader.state_dict()
        return self.trainer.fit_loop.batch_idx + 1, self._states_of_data()

    def restore(self, state: State) -> None:
        if "positions" in state:
            self._restore_positions(state)
        elif "data" not in state:
            say(
                "the checkpoint lies within an epoch, and does not know where its loaders were: "
                "the training goes on as Lightning resumes it, which is not exact"
            )

    def lost_position(self) -> str:
        loaders = self._loaders
        # One of torch's own can draw its order again.
        are_kept = all(map(is_stateful, loaders)) or (
            self._are_repeated == [True] and all(map(can_skip, loaders))
        )
        if not are_kept:
            return "To resume within one, use torchdata's StatefulDataLoader"
        if len(loaders) > 1 and (
            COMBINED_BY.of(TRAIN_LOADERS.of(self.trainer.fit_loop)) == "max_size"
            or None in map(lightning_data.sized_len, loaders)
        ):
            return "The training loaders are combined by max_size, or one of them has no length"
        if self.trainer.reload_dataloaders_every_n_epochs:  # type: ignore[attr-defined]  # is set
            return "reload_dataloaders_every_n_epochs makes other training loaders"
        modules = {type(getattr(loader, "dataset", None)).__module__ for loader in loaders}
        if HUGGING_FACE in modules:
            return "An iterable data set of Hugging Face cannot continue exactly from a position"
        if any(map(draws_at_once, loaders)):
            return (
                "A batch sampler draws its order at once: write its __iter__ with yield, or give "
                "it a state_dict"
            )
        if not is_plain(self._fetched_ahead()):
            return (
                "The training loader has no length, and its batches are more than tensors "
                "and plain values"
            )
        return ""

    @rank_zero_only
    def begin(self) -> None:
        for loader, same in zip(self._loaders, self._are_repeated, strict=False):
            own = [*filter(is_own, samplers_of(loader))]
            if same is False and own:
                say(
                    f"No resume of this run will be exact: {type(own[0]).__name__} gives an order "
                    "that follows from more than its generators, such as the order before. "
                    "Shuffle a new list each time."
                )
        for loader in [*self._loaders, *validation_loaders_of(self.trainer)]:
            if has_persistent_workers(loader) and gives_other_data(loader):
                say(
                    "No resume of this run will be exact: the data draw random numbers, or change, "
                    "in persistent workers, which start anew. Set persistent_workers=False."
                )

    def _restore_data(self, states: DataStates) -> None:
        for data, (known, attributes) in zip(self._stateful_data(), states, strict=False):
            data.load_state_dict(known)
            # load_state_dict may have set a position, at which the next epoch must not
            # begin: set the attributes back to what they were at the end of the epoch.
            vars(data).update(attributes)

    def _restore_positions(self, state: State) -> None:
        fetcher = FETCHER.of(self.trainer.fit_loop)
        generators = generators_of(self.trainer)
        now = states_of(generators)
        self._generators_at_epoch_start = state["began"]
        set_states(generators, self._generators_at_epoch_start)
        self._set_epoch()
        positions = [*zip(self._loaders, state["positions"], strict=True)]
        for loader, position in positions:
            if is_stateful(loader):
                loader.load_state_dict(position)
        # Lightning has already called iter() on the loaders (a) with states that are now
        # replaced, so iterate again (b) without fetching ahead, since the saved positions
        # lie behind those batches, which (c) are put back.
        fetcher.prefetch_batches = 0
        iter(fetcher)
        fetcher.prefetch_batches = 1  # Lightning's default, which some fetchers do not have
        fetcher.batches = state["fetched"]
        for loader, position in positions:
            iterator = ITERATOR.of(loader, None)
            indices = INDICES.of(iterator, None)
            # torchdata skips lazily: take one index now, so that the sampler draws
            # before the generators are restored.
            if isinstance(indices, islice):
                INDICES.replace(iterator, chain(list(islice(indices, 1)), indices))
            if not is_stateful(loader):
                self._skip(*position)
        set_states(generators, now)

    def _skip(self, taken: int, data: DataStates) -> None:
        """Let the loader of torch's own go on where it was."""
        # Lightning's warning of torch's own loaders, which a resume takes up all the same.
        filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
        # Iterating has drawn a seed.
        set_states(generators_of(self.trainer), self._generators_at_epoch_start)
        (iterator,) = MADE_ITERATORS.of(TRAIN_LOADERS.of(self.trainer.fit_loop)).iterators
        for _ in islice(INDICES.of(iterator), taken):
            pass
        self._restore_data(data)

    def _fetched_ahead(self) -> list[Any]:
        """The batches that Lightning has fetched to notice the last one: of loaders
        without a length.
        """
        return list(getattr(FETCHER.of(self.trainer.fit_loop), "batches", ()))

    def _states_of_data(self) -> DataStates:
        states = []
        for data in self._stateful_data():
            attributes = {
                name: value for name, value in vars(data).items() if type(value) in SCALARS
            }
            states.append((data.state_dict(), plain(attributes)))
        return states

    def _stateful_data(self) -> list[Any]:
        """The data sets of the training loaders that have a ``state_dict``; workers
        have copies of theirs.
        """
        found = [
            getattr(loader, "dataset", None)
            for loader in self._loaders
            if not getattr(loader, "num_workers", 0)
        ]
        return [data for data in found if is_stateful(data) and hasattr(data, "__dict__")]


def _reads_ahead(loader: Any) -> bool:
    """Whether it reads data as soon as it iterates."""
    return bool(getattr(loader, "num_workers", 0)) or lightning_data.sized_len(loader) is None

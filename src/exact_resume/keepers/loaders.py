"""Keeps the place of the training loaders in an epoch. On a resume they go there
themselves, or give again the batches that they gave.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any
from warnings import filterwarnings

from lightning.fabric.utilities import data as lightning_data
from lightning.pytorch import Trainer

from exact_resume import signals
from exact_resume.agreement import of_all_processes
from exact_resume.errors import NotRepeated, ReadingStopped
from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers import replay, workers
from exact_resume.keepers.generators import (
    UNREPEATABLE,
    all_generators,
    found_in,
    generators_of,
    set_states,
    states_of,
)
from exact_resume.keepers.orders import can_skip, draws_at_once, is_read_again
from exact_resume.keepers.sources import Sources
from exact_resume.keepers.values import is_plain
from exact_resume.keepers.watched import Watched
from exact_resume.lightning_private import (
    BEFORE_ITERATING,
    COMBINED_BY,
    FETCHER,
    INDICES,
    ITERATOR,
    LAST_RELOAD,
    MADE_ITERATORS,
    SET_EPOCH,
    TRAIN_LOADERS,
)
from exact_resume.training import is_stateful, loaders_of, validation_loaders_of

# The module of a class that cannot go on exactly from its own ``state_dict``.
HUGGING_FACE = "datasets.iterable_dataset"


class Loaders(Keeper):
    """Keeps the place of the training loaders, whatever they are.

    It knows what they were when they began to iterate in this epoch: generators, those of
    persistent workers too, and what has changed in loaders, samplers and data sets. On a
    resume within an epoch it puts that back, lets them iterate, takes the batches that the
    training had, and throws them away: worker processes, samplers and streams are then
    where they were. These batches must be what they were.

    Loaders with ``state_dict`` and ``load_state_dict`` go to their place themselves. If there
    is one loader, torch's own and without workers, it only draws the indices of these batches
    again, and reads the last batch, which is compared.
    """

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        self._sources: Sources | None = None
        # The states of sources and workers when the loaders began to iterate in this epoch, and
        # when they gave its first batch, after the hooks at its start.
        self._began: State = {}
        self._first: State = {}
        self._watched: Watched | None = None
        # True while a resume at the end of an epoch waits for the hooks at the start of the next
        # one, after which the loaders begin it.
        self._waits = False
        trainer.fit_loop.epoch_loop.on_run_start = self._start_epoch  # type: ignore

    def __getstate__(self) -> State:
        # A Trainer that holds it can be pickled, which iterators cannot.
        return vars(self) | {"_watched": None}

    @property
    def _loaders(self) -> list[Any]:
        return loaders_of(self.trainer)

    @property
    def may_differ(self) -> bool:
        return self._watched is not None

    def before_iterating(self, state: State, moment: Moment) -> None:
        for loader in self._loaders:
            workers.keep_generators_of_workers(loader)
            workers.note_generators(loader)
        self._sources = Sources(self._loaders)
        fit_loop = self.trainer.fit_loop
        if "replay" not in state:  # Lightning's own method, which this one replaces
            BEFORE_ITERATING.of(type(fit_loop))(fit_loop)
        if not state:
            self._note_began()
            return
        # Workers start with the data as these were when the training began, before any hook.
        began = state["began" if "began" in state else "now"]
        workers.start_workers(self._loaders, began["workers"])
        _postpone(TRAIN_LOADERS.of(fit_loop))
        self._waits = moment is Moment.EPOCH_END

    def _note_began(self) -> None:
        generators = states_of(generators_of(self.trainer))
        self._began = self._now(with_workers=True) | {"generators": generators}
        for loader in self._loaders:
            workers.begin_epoch(loader)

    def _now(self, with_workers: bool) -> State:
        assert self._sources is not None
        state = {
            "sources": self._sources.state(),
            "reloaded": LAST_RELOAD.of(self.trainer.fit_loop),
        }
        if with_workers:
            state["workers"] = [*map(workers.states_of_workers, self._loaders)]
        return state

    def _start_epoch(self, fetcher: Any) -> None:
        """Called in place of the loop's ``on_run_start``, and calls it. There Lightning lets the
        loaders iterate, except in the first epoch of a training and right after a resume, when
        it has done so already.
        """
        fit_loop, epoch_loop = self.trainer.fit_loop, self.trainer.fit_loop.epoch_loop
        if self._waits:
            self._waits = False
            self._note_began()
            iter(fetcher)
        elif self.trainer.current_epoch > 0 and not (fit_loop.is_resuming or epoch_loop.restarting):
            self._note_began()
        type(epoch_loop).on_run_start(epoch_loop, fetcher)
        if fit_loop.batch_idx < 0:  # the epoch begins, as no batch has been taken
            self._first = self._now(with_workers=False)
            self._watched = None
            if not self._go_themselves():
                self._watch(fetcher)

    def _watch(self, fetcher: Any) -> Watched:
        """Let the Trainer take the batches of this epoch through a ``Watched``."""
        generators = all_generators(*self._loaders)
        watched = Watched(fetcher.iterator, generators, self._fetched_ahead())
        self._watched = fetcher.iterator = watched
        return watched

    def _go_themselves(self) -> bool:
        """True if the loaders' own states suffice to let them go on at their place."""
        loaders = self._loaders
        mode = COMBINED_BY.of(TRAIN_LOADERS.of(self.trainer.fit_loop))
        modules = {type(getattr(loader, "dataset", None)).__module__ for loader in loaders}
        # Lightning does not keep which of several loaders have come to their end. That matters if
        # these give nothing from then on (max_size), or if it ends the epoch (without lengths).
        is_ordered = len(loaders) == 1 or not (
            mode == "max_size" or None in map(lightning_data.sized_len, loaders)
        )
        return (
            all(map(is_stateful, loaders))
            and is_ordered
            and HUGGING_FACE not in modules
            and not any(map(is_read_again, loaders))
            and not any(map(draws_at_once, loaders))
            and is_plain(self._fetched_ahead())
        )

    def state(self, moment: Moment) -> State:
        if self._sources is None:
            return {}
        if moment is Moment.EPOCH_END:
            return {"now": self._now(with_workers=True)}
        state = {"began": self._began, "first": self._first, "now": self._now(with_workers=False)}
        if self._watched:
            return state | {"replay": self._watched.state()}
        positions = [loader.state_dict() for loader in self._loaders]
        return state | {"positions": positions, "fetched": self._fetched_ahead()}

    def lost(self) -> list[str]:
        loaders = self._loaders
        places = self._sources.lost() if self._sources else ()
        names = [f"`{name}` of {type(part).__qualname__}" for part, name in places]
        for loader in [*loaders, *validation_loaders_of(self.trainer)]:
            if workers.data_have_changed(loader):
                data = type(loader.dataset).__qualname__
                names.append(f"what {data} has changed in persistent workers")
            if getattr(loader, "num_workers", 0) > 1 and not getattr(loader, "in_order", True):
                names.append("the order of batches, which in_order=False leaves to chance")
        if found_in((UNREPEATABLE,), *loaders):
            names.append("what random.SystemRandom draws")
        return names

    def restore(self, state: State) -> None:
        if not state:  # the checkpoint was written before there were loaders
            return
        generators = generators_of(self.trainer)
        after = states_of(generators)  # set again below: giving batches again draws numbers
        is_there = True
        if "began" in state:
            self._began, self._first = state["began"], state["first"]
            self._begin_again()
            fetcher = FETCHER.of(self.trainer.fit_loop)
            if "positions" in state:
                self._go(fetcher, state["positions"], state["fetched"])
            else:
                is_there = self._replay(fetcher, state["replay"], state["now"])
            self._put_back(state["now"], within=True)
        else:
            self._put_back(state["now"])
        set_states(generators, after)
        if "replay" in state:
            self._agree(is_there)

    def restore_other_world_size(self, state: State) -> None:
        if "replay" in state:
            raise NotRepeated("the number of processes has changed")
        self.restore(state)

    def _begin_again(self) -> None:
        """Put sources and generators back to where they were when this epoch began."""
        self._put_back(self._began)
        set_states(generators_of(self.trainer), self._began["generators"])
        for loader in self._loaders:
            SET_EPOCH.of(lightning_data)(loader, self.trainer.current_epoch)

    def _put_back(self, state: State, within: bool = False) -> None:
        assert self._sources is not None
        self._sources.restore(state["sources"], within)
        LAST_RELOAD.replace(self.trainer.fit_loop, state["reloaded"])

    def _go(self, fetcher: Any, positions: list[Any], fetched: list[Any]) -> None:
        for loader, position in zip(self._loaders, positions, strict=True):
            loader.load_state_dict(position)
        # The saved positions lie behind the batches fetched ahead, which are put back.
        fetcher.prefetch_batches = 0
        iter(fetcher)
        fetcher.prefetch_batches = 1  # Lightning's default, which some fetchers do not have
        fetcher.batches = fetched
        for loader in self._loaders:
            iterator = ITERATOR.of(loader, None)
            indices = INDICES.of(iterator, None)
            # torchdata skips lazily: take one index now, so that the sampler draws
            # before the generators are restored.
            if isinstance(indices, islice):
                INDICES.replace(iterator, chain(list(islice(indices, 1)), indices))

    def _replay(self, fetcher: Any, known: State, now: State) -> bool:
        """Let the loaders give their batches again; return whether they are the same."""
        # Lightning warns that loaders without a state begin anew, which these do not.
        filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
        is_there = False
        if self._can_skip(fetcher, now):
            batches, watched = self._iterate(fetcher)
            (iterator,) = MADE_ITERATORS.of(TRAIN_LOADERS.of(self.trainer.fit_loop)).iterators
            is_there = replay.skip(INDICES.of(iterator), batches, watched, known)
            if not is_there:
                self._begin_again()
        if not is_there:
            batches, watched = self._iterate(fetcher)
            is_there = replay.read(batches, watched, known, self.trainer.current_epoch)
        # Lightning will add the batches that it has trained on to those fetched ahead.
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        fetcher.fetched = max(0, known["count"] - progress.current.ready)
        return is_there

    def _can_skip(self, fetcher: Any, now: State) -> bool:
        """True if batches can be skipped without reading them: there is a single loader that
        allows it, and its data have not changed since the first batch.
        """
        is_alone = len(self._loaders) == 1 and fetcher.length is not None
        is_same = now["sources"]["look"] == self._first["sources"]["look"]
        return is_alone and is_same and can_skip(self._loaders[0])

    def _iterate(self, fetcher: Any) -> tuple[Iterator[Any], Watched]:
        iter(fetcher)
        self._put_back(self._first, within=True)
        # The fetcher itself is no iterator to use here: iter() of it would begin anew.
        return getattr(fetcher, "iterator_wrapper", fetcher), self._watch(fetcher)

    def _agree(self, is_there: bool) -> None:
        """Raise an error in all processes if it has to be raised in one of them."""
        found = of_all_processes((is_there, signals.received()))
        numbers = [number for _, number in found]
        if any(numbers):
            raise ReadingStopped(max(numbers, key=signals.RANKED.index))
        if not all(is_there for is_there, _ in found):
            raise NotRepeated("the training loaders gave other batches than before")

    def _fetched_ahead(self) -> list[Any]:
        """The batches that Lightning has fetched ahead to notice the last one, which it does
        for loaders without a length.
        """
        return list(getattr(FETCHER.of(self.trainer.fit_loop), "batches", ()))


class Postponed:
    """Takes the place of a loader while Lightning iterates over it for a resume, before
    anything is restored. It has the loader's length and gives nothing; once it is iterated
    over, the loaders are back in their places.
    """

    def __init__(self, loader: Any, combined: Any, loaders: list[Any]) -> None:
        self.loader, self.combined, self.loaders = loader, combined, loaders

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        self.combined.flattened = self.loaders
        return iter(())


def _postpone(combined: Any) -> None:
    """Let the next iteration over these combined loaders give nothing."""
    loaders = [*combined.flattened]
    combined.flattened = [Postponed(loader, combined, loaders) for loader in loaders]

"""The persistent workers of validation loaders."""

from typing import Any

from lightning.pytorch import Trainer

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers.generators import generators_of, set_states, states_of
from exact_resume.lightning_private import ITERATOR
from exact_resume.training import has_persistent_workers, validation_loaders_of


class ValidationWorkers(Keeper):
    """Keeps whether they run: a loader draws a number when it starts them, once in a
    training. A resume starts them again, and puts the generators back.
    """

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        self._ran: list[bool] = []
        trainer.fit_loop.epoch_loop.val_loop.reset = self._reset  # type: ignore[method-assign]

    def state(self, moment: Moment) -> State:
        return {"running": [*map(_are_running, validation_loaders_of(self.trainer))]}

    def restore(self, state: State) -> None:
        self._ran = state.get("running", [])

    def _reset(self) -> None:
        """Called before an evaluation iterates over its loaders."""
        ran, self._ran = self._ran, []
        loaders = zip(validation_loaders_of(self.trainer), ran, strict=False)
        to_start = [loader for loader, has_run in loaders if has_run and not _are_running(loader)]
        if to_start:
            generators = generators_of(self.trainer)
            states = states_of(generators)
            for loader in to_start:
                iter(loader)
            set_states(generators, states)
        val_loop = self.trainer.fit_loop.epoch_loop.val_loop
        type(val_loop).reset(val_loop)


def _are_running(loader: Any) -> bool:
    """Whether a loader's workers are, which it keeps."""
    return has_persistent_workers(loader) and ITERATOR.of(loader, None) is not None

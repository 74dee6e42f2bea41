"""Keeps the persistent workers of validation loaders."""

from lightning.pytorch import Trainer

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.keepers import workers
from exact_resume.training import validation_loaders_of


class ValidationWorkers(Keeper):
    """Keeps whether the persistent workers run, and their generators. They start once in a
    training, and the loader draws a number then; a resume starts them as they were.
    """

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        self._ran: list[list[str] | None] = []
        trainer.fit_loop.epoch_loop.val_loop.reset = self._reset  # type: ignore[method-assign]

    def state(self, moment: Moment) -> State:
        loaders = validation_loaders_of(self.trainer)
        return {"workers": [*map(workers.states_of_workers, loaders)]}

    def restore(self, state: State) -> None:
        self._ran = state.get("workers", [])

    def _reset(self) -> None:
        """Called before an evaluation iterates over its loaders."""
        ran, self._ran = self._ran, []
        loaders = validation_loaders_of(self.trainer)
        for loader in loaders:
            workers.note_generators(loader)
        workers.start_workers(loaders, ran)
        for loader in loaders:
            workers.states_of_workers(loader)  # waits until they are at rest
            workers.begin_epoch(loader)
        val_loop = self.trainer.fit_loop.epoch_loop.val_loop
        type(val_loop).reset(val_loop)

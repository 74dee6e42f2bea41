"""What Lightning's own callbacks need: finders, averages, accumulation."""

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    StochasticWeightAveraging,
)
from lightning.pytorch.utilities.parsing import lightning_getattr, lightning_setattr

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.lightning_private import FIND_RATE_NAME, RATE_NAME, SETS_RATE, SIZE_NAME
from exact_resume.training import callbacks_of


class Callbacks(Keeper):
    """Keeps the values that finders chose, who would search again, and calls the hooks
    at the start of an epoch that a resume within one skips.
    """

    def state(self, moment: Moment) -> State:
        return {name: lightning_getattr(self.module, name) for name in self._names_of_finders()}

    def load(self, state: State) -> None:
        for name, value in state.items():
            lightning_setattr(self.module, name, value)
        for finder in callbacks_of(self.trainer, LearningRateFinder, BatchSizeFinder):
            finder.on_fit_start = Callback().on_fit_start  # it does nothing

    def restore(self, state: State) -> None:
        if self.trainer.fit_loop.restarted_mid_epoch:
            kinds = GradientAccumulationScheduler, StochasticWeightAveraging
            for callback in callbacks_of(self.trainer, *kinds):
                callback.on_train_epoch_start(self.trainer, self.module)

    def _names_of_finders(self) -> list[str]:
        """The attributes that finders change."""
        sizes = [SIZE_NAME.of(finder) for finder in callbacks_of(self.trainer, BatchSizeFinder)]
        rates = [
            FIND_RATE_NAME.imported()(self.module, RATE_NAME.of(finder))
            for finder in callbacks_of(self.trainer, LearningRateFinder)
            if SETS_RATE.of(finder)
        ]
        return sizes + rates

"""Keeps what a resume needs of Lightning's own callbacks: finders, averages of weights,
accumulation of gradients, checkpoints.
"""

from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.utilities.parsing import (
    lightning_getattr,
    lightning_hasattr,
    lightning_setattr,
)

from exact_resume.keeper import Keeper, Moment, State
from exact_resume.lightning_private import LAST_SAVED, RATE_NAME, SIZE_NAME
from exact_resume.training import callbacks_of, nothing


class Callbacks(Keeper):
    """Keeps the values that finders have chosen, which on a resume would search again, and
    the step of the last save of each ModelCheckpoint, which would save that step again.
    Also calls ``on_train_epoch_start`` of the callbacks that need it, which Lightning does
    not on a resume within an epoch.
    """

    def state(self, moment: Moment) -> State:
        finders = callbacks_of(self.trainer, LearningRateFinder, BatchSizeFinder)
        names = [SIZE_NAME.of(finder, "") or RATE_NAME.of(finder, "") for finder in finders]
        if "" in names:
            names += ["lr", "learning_rate"]  # a finder without a name changes one of these
        checkpoints = callbacks_of(self.trainer, ModelCheckpoint)
        return {
            "found": {
                name: lightning_getattr(self.module, name)
                for name in names
                if lightning_hasattr(self.module, name)
            },
            "saved": [LAST_SAVED.of(checkpoint) for checkpoint in checkpoints],
        }

    def load(self, state: State) -> None:
        for name, value in state["found"].items():
            lightning_setattr(self.module, name, value)
        for finder in callbacks_of(self.trainer, LearningRateFinder, BatchSizeFinder):
            finder.on_fit_start = nothing  # it has found its value already

    def restore(self, state: State) -> None:
        checkpoints = callbacks_of(self.trainer, ModelCheckpoint)
        for checkpoint, step in zip(checkpoints, state["saved"], strict=False):
            LAST_SAVED.replace(checkpoint, step)
        if self.trainer.fit_loop.restarted_mid_epoch:
            kinds = GradientAccumulationScheduler, StochasticWeightAveraging
            for callback in callbacks_of(self.trainer, *kinds):
                callback.on_train_epoch_start(self.trainer, self.module)

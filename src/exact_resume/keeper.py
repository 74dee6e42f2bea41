"""The interface of a keeper, and the moments at which its state is saved."""

from enum import Enum
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

# A part of the state of one process as a checkpoint holds it: tensors and plain values.
State = dict[str, Any]


class Moment(Enum):
    """When a checkpoint is written, which decides what belongs in it."""

    WITHIN_EPOCH = "after a batch"
    IN_EVALUATION = "in an evaluation"
    EPOCH_END = "at the end of an epoch"

    @classmethod
    def of(cls, trainer: Trainer) -> "Moment":
        """The moment in which a training is now."""
        if trainer.validating:
            return cls.IN_EVALUATION
        # In on_train_epoch_end the epoch already counts as processed, and before a training none
        # is ready or processed: both count as EPOCH_END. But max_steps may end a training within
        # an epoch, unless is_last_batch is True. Counting batches up to limit_train_batches would
        # not tell that: a loader without a length may end before.
        epochs: Any = trainer.fit_loop.epoch_progress.current
        is_cut = 0 < trainer.max_steps <= trainer.global_step and not trainer.is_last_batch
        is_end = epochs.processed == epochs.ready and not is_cut
        return cls.EPOCH_END if is_end else cls.WITHIN_EPOCH


def left_out(trainer: Trainer, moment: Moment) -> str:
    """The name of the module's own hook that Lightning calls after a callback has written a
    checkpoint at this moment, and that a resume does not call; empty if there is none.
    """
    hooks = {Moment.WITHIN_EPOCH: "on_train_batch_end", Moment.IN_EVALUATION: "on_validation_end"}
    hook = hooks.get(moment, "")
    return hook if is_overridden(hook, trainer.lightning_module) else ""


class Keeper:
    """Keeps a part of a training, in each process, that Lightning's checkpoints lack.

    ``state`` and ``restore`` are what most need. ``callback.py`` says when each method
    is called.
    """

    # A word such as "metric", by which a check of exact resume names each part of the state;
    # empty for a keeper whose parts are not compared one by one.
    kind = ""

    @property
    def name(self) -> str:
        """The key of this keeper's state in checkpoints; unique among the keepers."""
        return type(self).__name__

    def setup(self, trainer: Trainer) -> None:
        """Called when a training is set up, before its loaders are."""
        self.trainer = trainer
        self.module = trainer.lightning_module

    def load(self, state: State) -> None:
        """Called before a resumed training starts, when its weights have been loaded."""

    @property
    def may_differ(self) -> bool:
        """True if only a resume within this epoch can find out that it is not exact."""
        return False

    def before_iterating(self, state: State, moment: Moment) -> None:
        """Called before the training loaders first iterate, and before reloaded ones do.

        Args:
            state: On a resume, the state that this process has saved; empty otherwise.
            moment: When it was saved.
        """

    def fit_starts(self) -> None:
        """Called after the callbacks' ``on_fit_start``, before the module's."""

    def begin(self) -> None:
        """Called when a training has started, new or resumed."""

    def state(self, moment: Moment) -> State:
        """The state of the process that this keeper keeps, as it is now."""
        return {}

    def restore(self, state: State) -> None:
        """Called when a resumed training has started, after ``begin``, with the state that
        this process has saved.

        ``trainer.fit_loop.restarted_mid_epoch`` says whether it goes on within an epoch.

        Raises:
            NotRepeated: the resume cannot be exact.
        """

    def restore_other_world_size(self, state: State) -> None:
        """Called instead of ``restore`` if the number of processes has changed, with the
        state that the first process has saved.
        """
        self.restore(state)

    def restore_end(self, state: State) -> None:
        """Called instead of ``restore`` if the training had ended already."""

    def parts(self) -> State:
        """The values that a check of exact resume compares, each by the kind and a name, such
        as ``metric accuracy``.
        """
        kept = self.state(Moment.WITHIN_EPOCH) if self.kind else {}
        return {f"{self.kind} {name}": value for name, value in kept.items()}

    def lost(self) -> list[str]:
        """Names, for a message, of things that have changed though no keeper can keep them. It
        may take milliseconds, so it is not asked at each save.
        """
        return []

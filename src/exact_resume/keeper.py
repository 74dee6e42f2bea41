"""What a keeper is, and the moments at which it is asked for its state."""

from enum import Enum
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

# Part of the state of one process, in tensors and plain values, as a checkpoint has it.
State = dict[str, Any]


class Moment(Enum):
    """When a checkpoint is written, which decides what belongs in it."""

    WITHIN_EPOCH = "after a batch"
    IN_EVALUATION = "in an evaluation"
    EPOCH_END = "at the end of an epoch"

    @classmethod
    def of(cls, trainer: Trainer) -> "Moment":
        """The present one."""
        if trainer.validating:
            return cls.IN_EVALUATION
        # `processed` is already incremented in on_train_epoch_end; before training both
        # are 0, which is EPOCH_END. max_steps may end a training within an epoch.
        epochs: Any = trainer.fit_loop.epoch_progress.current
        # A loader without a length may end before a limit of batches, unannounced.
        is_cut = 0 < trainer.max_steps <= trainer.global_step and not trainer.is_last_batch
        is_end = epochs.processed == epochs.ready and not is_cut
        return cls.EPOCH_END if is_end else cls.WITHIN_EPOCH


def left_out(trainer: Trainer, moment: Moment) -> str:
    """The module's own hook that comes after a checkpoint that a callback writes at a moment,
    and which a resume does not call; empty without one.
    """
    hooks = {Moment.WITHIN_EPOCH: "on_train_batch_end", Moment.IN_EVALUATION: "on_validation_end"}
    hook = hooks.get(moment, "")
    return hook if is_overridden(hook, trainer.lightning_module) else ""


class Keeper:
    """Keeps a part of a training, in each process, that Lightning's checkpoints lack.

    ``state`` and ``restore`` are what most need. ``callback.py`` says when each method
    is called.
    """

    # The word for each of its parts, if a check of exact resume compares them one by one.
    kind = ""

    @property
    def name(self) -> str:
        """The key of its state in checkpoints; unique among the keepers."""
        return type(self).__name__

    def setup(self, trainer: Trainer) -> None:
        """Called when a training is set up, before its loaders are."""
        self.trainer = trainer
        self.module = trainer.lightning_module

    def load(self, state: State) -> None:
        """Called before a resumed training starts, when its weights are there."""

    @property
    def may_differ(self) -> bool:
        """Whether a resume within this epoch may find that it cannot be exact."""
        return False

    def before_iterating(self, state: State, moment: Moment) -> None:
        """Called before the training loaders first iterate, new ones too.

        Args:
            state: On a resume, what this process has kept; empty otherwise.
            moment: When that was.
        """

    def fit_starts(self) -> None:
        """Called after the callbacks' ``on_fit_start``, before the module's."""

    def begin(self) -> None:
        """Called when a training has started, new or resumed."""

    def state(self, moment: Moment) -> State:
        """This part of the process, as it is now."""
        return {}

    def restore(self, state: State) -> None:
        """Called when a resumed training has started, after ``begin``, with what this
        process has kept.

        ``trainer.fit_loop.restarted_mid_epoch`` says whether it goes on within an epoch.

        Raises:
            NotRepeated: that cannot be exact.
        """

    def restore_other_world_size(self, state: State) -> None:
        """Called instead of ``restore`` if the number of processes has changed, with
        the state of the first.
        """
        self.restore(state)

    def restore_end(self, state: State) -> None:
        """Called instead of ``restore`` if the training had ended already."""

    def parts(self) -> State:
        """What a check of exact resume compares, by a word for its kind and its name."""
        kept = self.state(Moment.WITHIN_EPOCH) if self.kind else {}
        return {f"{self.kind} {name}": value for name, value in kept.items()}

    def lost(self) -> list[str]:
        """What has changed that no keeper keeps, in words. Not cheap."""
        return []

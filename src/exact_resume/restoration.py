"""Hands the keepers their states of a checkpoint, from its loading to the start of the
resumed training.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from exact_resume.agreement import world_size
from exact_resume.checkpoints import check_optimizer_states
from exact_resume.errors import NotRepeated, ResumeError
from exact_resume.keeper import Keeper, Moment, State
from exact_resume.lightning_private import BY_STEPS
from exact_resume.training import say

# The version of what a checkpoint holds of keepers; to be raised when their states change.
VERSION = 5


class Restoration:
    """The states that the keepers of one process are given: those that this process has
    saved, or those of the first if the number of processes has changed.

    Args:
        trainer: The Trainer of the training.
        keepers: The keepers of the training.

    Attributes:
        path: The checkpoint; None where a training begins anew.
        moment: When the checkpoint was written.
    """

    def __init__(self, trainer: Trainer, keepers: Sequence[Keeper]) -> None:
        self._trainer, self._keepers = trainer, keepers
        self.path: Path | None = None
        self.moment = Moment.EPOCH_END
        self._states: dict[str, State] = {}
        self._left_out = ""  # the module's hook that came after the checkpoint
        self._is_same_world_size = True

    def load(self, state: State) -> None:
        """Called with the state of ExactResume in the checkpoint.

        Raises:
            ResumeError: another version has written it.
        """
        if state.get("version") != VERSION:
            raise ResumeError(
                "the checkpoint was written by another version of exact_resume: resume with that "
                "version, or start over"
            )
        trainer, processes = self._trainer, state["processes"]
        if state["stopping"]:
            trainer.should_stop = True
        # No sanity check again: some modules change in evaluations.
        trainer.num_sanity_val_steps = 0
        self._is_same_world_size = len(processes) == world_size()
        self._states = processes[trainer.global_rank if self._is_same_world_size else 0]
        self.moment = Moment(state["moment"])
        self._left_out = state["left out"]
        if self.moment is Moment.EPOCH_END:
            BY_STEPS.replace(trainer.fit_loop, bool)
        for keeper, kept in self._to_restore():
            keeper.load(kept)

    def _to_restore(self) -> list[tuple[Keeper, State]]:
        """The keepers that have a state in the checkpoint, each with it."""
        return [
            (keeper, self._states[keeper.name])
            for keeper in self._keepers
            if keeper.name in self._states
        ]

    def before_iterating(self, *_: Any) -> None:
        """Called before the training loaders iterate."""
        for keeper in self._keepers:
            keeper.before_iterating(self._states.get(keeper.name, {}), self.moment)

    def restore(self, own: Collection[Path]) -> None:
        """Called once, when the training starts.

        Args:
            own: The checkpoints that promise an exact resume. From another one, such as a
                ModelCheckpoint's, a training goes on even where it cannot be exact, and a
                line says so.

        Raises:
            NotRepeated: the resume cannot be exact.
            ReadingStopped: a signal has come meanwhile.
            ResumeError: the states of optimizers do not fit.
        """
        if self._left_out:
            say(
                f"{self.path} was written before the module's own {self._left_out}, which a resume "
                "leaves out: it is not exact"
            )
        if self._states:
            check_optimizer_states(self._trainer)
        elif self.path:
            say(
                f"{self.path} has no state of exact_resume: the training goes on as Lightning "
                "resumes it, which is not exact"
            )
        for keeper, state in self._to_restore():
            if not self._is_same_world_size:
                keeper.restore_other_world_size(state)
                continue
            try:
                keeper.restore(state)
            except NotRepeated as error:
                if self.path in own:
                    raise
                say(f"{error.reason}: the training goes on from {self.path}, which is not exact")
        self._states, self.path = {}, None
        BY_STEPS.reset(self._trainer.fit_loop)

    def restore_end(self) -> None:
        """Called where the training had ended already."""
        for keeper, state in self._to_restore():
            keeper.restore_end(state)

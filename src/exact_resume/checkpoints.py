"""Writes checkpoints so that a kill cannot damage them, and refuses what a resume could
not use.
"""

import io
import os
import re
from collections.abc import Callable
from contextlib import suppress
from os.path import relpath
from pathlib import Path
from pickle import PicklingError, UnpicklingError
from typing import Any
from uuid import uuid4

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, AdamW
from torch.serialization import get_unsafe_globals_in_checkpoint

from exact_resume.errors import ResumeError
from exact_resume.files import write
from exact_resume.journal import AFTER, Journal
from exact_resume.keeper import State
from exact_resume.keepers.values import is_plain
from exact_resume.training import callbacks_of, nothing

# The key, in a checkpoint, of the name of the save that has written it.
SAVE = "exact_resume_save"

# Optimizers that have fused kernels, which do not check the shapes of their states.
FUSED = (Adagrad, Adam, AdamW, SGD)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes the exact checkpoint so that a kill at any moment leaves a complete one: the
    new one, or the one before. All other checkpoints are left to the Trainer's plugin.

    Args:
        others: The Trainer's plugin.
        path: The exact checkpoint, on a local disk.
        writes_all: Whether to write the other checkpoints on local disks in this way too, if
            the plugin is Lightning's usual one.
        check_first: Whether to refuse the first checkpoint if it holds more than weights
            and plain values; otherwise a line says what a resume from it needs.
        trusting: The option of a resume that reads such a checkpoint all the same.

    Raises:
        ResumeError: a checkpoint cannot be written, or the first one is refused.
    """

    def __init__(
        self,
        others: CheckpointIO,
        path: Path,
        writes_all: bool = False,
        check_first: bool = False,
        trusting: str = "trainer.fit(..., weights_only=False)",
    ) -> None:
        self.others, self.path = others, path
        self.journal = Journal(path)
        self.writes_all = writes_all and type(others) is TorchCheckpointIO
        self._check = refuse_objects if check_first else say_what_resume_needs
        self._is_first = True
        self.trusting = trusting
        self.latest: str | Path = ""  # the checkpoint that others wrote last
        self.look: Callable[[State], None] = nothing  # called with what was written at path
        self.keeps_earlier = False  # whether the exact checkpoint before stays, by another name

    def writes(self, path: str | Path) -> bool:
        """True for a checkpoint that it writes itself; others are left to the plugin."""
        return self._is_own(path) or (self.writes_all and "://" not in str(path))

    def _is_own(self, path: str | Path) -> bool:
        return Path(path).absolute() == self.path

    def save_checkpoint(
        self, checkpoint: State, path: str | Path, storage_options: Any = None
    ) -> None:
        is_own = self._is_own(path)
        if not is_own:
            self.journal.note(path)
            # The exact save before: a resume from there recognises by it what it has to remove.
            checkpoint = checkpoint | {AFTER: self.journal.save}
            self.latest = path
        if storage_options is not None or not self.writes(path):
            self.others.save_checkpoint(checkpoint, path, storage_options=storage_options)
            return
        path = Path(path)
        save = uuid4().hex
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written into memory first: torch's file writer hides the reason of a disk error.
        content = io.BytesIO()
        try:
            torch.save(checkpoint | ({SAVE: save} if is_own else {}), content)
        except (PicklingError, AttributeError, TypeError) as error:
            raise ResumeError(
                f"the checkpoint cannot be written: {error}: leave it out in "
                "on_save_checkpoint, or in save_hyperparameters by ignore=[...]"
            ) from error
        if is_own and self._is_first:
            self._check(checkpoint, content, self.trusting)
            self._is_first = False
        write(path, content.getbuffer())
        if is_own:
            self.journal.begin(save, self.keeps_earlier)
            self.look(checkpoint)

    def load_checkpoint(self, path: str | Path, *arguments: Any, **named: Any) -> State:
        if self.writes(path):
            checkpoint = super().load_checkpoint(path, *arguments, **named)
            # A user who has resumed knows what a resume needs, so say it no more; but still refuse.
            self._is_first = self._check is refuse_objects
            return checkpoint
        return self.others.load_checkpoint(path, *arguments, **named)

    @rank_zero_only
    def undo(self, save: str) -> None:
        """Remove the checkpoints that others have written since the exact save of this name."""
        self.journal.undo(save, self.others.remove_checkpoint)

    @rank_zero_only
    def begin_anew(self, keeps_others: bool) -> None:
        """Called where there was no exact save: remove the checkpoints that others have written.

        Args:
            keeps_others: Keep them, since the training begins at one of them.
        """
        if keeps_others:
            self.journal.begin(self.journal.save)
        else:
            self.journal.undo("", self.others.remove_checkpoint)

    def remove_checkpoint(self, path: str | Path) -> None:
        self.others.remove_checkpoint(path)

    def teardown(self) -> None:
        self.others.teardown()


def refuse_objects(checkpoint: dict[str, Any], content: io.BytesIO, trusting: str) -> None:
    """Raise a ResumeError for a checkpoint that cannot be read without running code, when
    it is written and not only when it is needed.
    """
    content.seek(0)
    try:
        torch.load(content, weights_only=True)
    except UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|type|class) (\S+)", str(error))
        parts = [name for name, value in checkpoint.items() if not is_plain(value)]
        raise ResumeError(
            f"the checkpoint holds a {named[1] if named else 'Python object'}, in "
            f"{', '.join(parts)}, which a resume would refuse, since only plain values and tensors "
            f"are safe to read: {trusting} trusts it; or leave it out"
        ) from error


def say_what_resume_needs(_: dict[str, Any], content: io.BytesIO, trusting: str) -> None:
    """Print what a resume needs if the checkpoint holds objects, which torch by default does
    not read.
    """
    content.seek(0)
    names: list[str] = []
    with suppress(ValueError):  # the file is not torch's, or has an old format
        names = get_unsafe_globals_in_checkpoint(content)
    if names and not os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        print(
            f"The checkpoint holds {', '.join(sorted(names))}: a resume needs {trusting}, "
            "which trusts it"
        )


def move_paths(checkpoint: State, own: ModelCheckpoint, trainer: Trainer) -> None:
    """Change the paths that ModelCheckpoints know, if their folders were moved together with
    that of the checkpoint: with another ``dirpath`` they would forget their files.
    """
    states = checkpoint.get("callbacks", {})
    began = states.get(own.state_key, {}).get("dirpath")
    for callback in callbacks_of(trainer, ModelCheckpoint):
        state = states.get(callback.state_key, {})
        old, new = state.get("dirpath"), callback.dirpath
        if began and old and new and relpath(old, began) == relpath(new, str(own.dirpath)):
            states[callback.state_key] = _moved(state, old, str(new))


def _moved(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {_moved(key, old, new): _moved(part, old, new) for key, part in value.items()}
    is_below = isinstance(value, str) and value.startswith(old)
    return new + value.removeprefix(old) if is_below else value


def check_optimizer_states(trainer: Trainer) -> None:
    """Raise a ResumeError unless the optimizers' states have the shapes of their parameters:
    fused kernels do not check that.
    """
    for optimizer in trainer.optimizers:
        states = optimizer.state if type(optimizer) in FUSED else {}
        for parameter, state in states.items():
            shapes = {
                value.shape
                for name, value in state.items()
                if isinstance(value, Tensor) and name != "step"
            }
            if shapes - {parameter.shape}:
                raise ResumeError(
                    f"cannot resume from {trainer.ckpt_path}: an optimizer's state is not of its "
                    "parameter's shape"
                )

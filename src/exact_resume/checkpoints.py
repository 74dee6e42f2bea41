"""Writes checkpoints so that a kill cannot damage them, and refuses what a resume could
not use.
"""

import io
import re
from pathlib import Path
from pickle import PicklingError, UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, AdamW

from exact_resume.errors import ResumeError
from exact_resume.files import write

# Those that have fused kernels.
FUSED = (Adagrad, Adam, AdamW, SGD)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints so that a kill at any moment leaves a complete one: the new
    one, or the one before.

    Args:
        check_first: Whether to check that the first one can be read back.

    Raises:
        ResumeError: it cannot be written, or the first one holds more than weights and
            plain values.
    """

    def __init__(self, check_first: bool = False) -> None:
        super().__init__()
        self.check_first = check_first

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # First into memory: torch's file writer hides the reason of a disk error.
        content = io.BytesIO()
        try:
            torch.save(checkpoint, content)
        except (PicklingError, AttributeError, TypeError) as error:
            raise ResumeError(
                f"the checkpoint cannot be written: {error}: leave it out in "
                "on_save_checkpoint, or in save_hyperparameters by ignore=[...]"
            ) from error
        if self.check_first:
            self.check_first = False
            refuse_objects(content)
        write(path, content.getbuffer())


def refuse_objects(content: io.BytesIO) -> None:
    """Raise a ResumeError for a checkpoint that cannot be read without running code:
    now, not when it is needed.
    """
    content.seek(0)
    try:
        torch.load(content, weights_only=True)
    except UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|type|class) (\S+)", str(error))
        raise ResumeError(
            f"the checkpoint holds a {named[1] if named else 'Python object'}, which a resume "
            "would refuse, since only plain values and tensors are safe to read: leave it out "
            "(save_hyperparameters has ignore=[...])"
        ) from error


def check_optimizer_states(trainer: Trainer) -> None:
    """Raise a ResumeError unless states from a checkpoint have their parameters'
    shapes, which fused kernels trust.
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

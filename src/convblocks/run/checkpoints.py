"""Reads the checkpoint to resume from."""

from pathlib import Path
from typing import Any

from convblocks.errors import UserError
from convblocks.model.restore import read_checkpoint, wrong_version

# The parts that a resume needs beyond the weights.
RESUME_PARTS = {"optimizer_states", "lr_schedulers", "callbacks", "loops", "epoch", "global_step"}


def read_resumable(path: Path) -> dict[str, Any] | None:
    """The content of the checkpoint to resume from; None if there is none.

    Whether the weights fit is left to Lightning: ``setup`` may make or rename some.

    Raises:
        UserError: it is damaged, or lacks parts that a resume needs.
    """
    if not path.exists():
        return None
    try:
        checkpoint = read_checkpoint(path)
        if not (checkpoint.keys() >= RESUME_PARTS and "MetricsLog" in checkpoint["callbacks"]):
            raise wrong_version(path)
    except UserError as error:
        raise UserError(
            f"{error}. Put an intact copy there, or delete it to start the run over"
        ) from error
    return checkpoint

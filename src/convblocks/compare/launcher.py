"""The launcher, if any, that has started a command which starts runs itself."""

import os
from collections.abc import Mapping

from convblocks.run.slurm import SLURM, TORCHRUN, visible


def launcher_of_several(environment: Mapping[str, str] = os.environ) -> str | None:
    """The launcher that has started several processes to train together; None for a single process."""
    environment = visible(environment)
    if TORCHRUN in environment:
        return "torchrun"
    return "srun" if environment.get("SLURM_STEP_NUM_TASKS", "1") != "1" else None


def hide_launcher() -> None:
    """Hide the launcher from the runs started by this process, so that Lightning starts their further processes."""
    for name in (SLURM, TORCHRUN):
        os.environ.pop(name, None)

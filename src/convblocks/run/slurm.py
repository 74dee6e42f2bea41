"""Slurm and torchrun, as far as every run depends on them; everything is read from the environment.

With ``CONVBLOCKS_SLURM=0`` Slurm is ignored. A cluster environment among the Trainer's settings has precedence over
both.
"""

import os
import subprocess
from collections.abc import Mapping

# The variables by which Lightning detects either of them.
SLURM, TORCHRUN = "SLURM_NTASKS", "TORCHELASTIC_RUN_ID"

# Set to 0 by users who want Slurm to be ignored.
USES_SLURM = "CONVBLOCKS_SLURM"

# Set if there is a job to requeue.
JOB = "SLURM_JOB_ID"

# Whether another cluster environment takes Slurm's place in this process.
_is_replaced = False


def set_replaced(is_replaced: bool) -> None:
    """Ignore Slurm, or do not: the settings of the run have a cluster environment of their own."""
    global _is_replaced
    _is_replaced = is_replaced


def is_ignored(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether Slurm is turned off, by the user or in favour of the Trainer's own cluster environment."""
    return environment.get(USES_SLURM) == "0" or (_is_replaced and environment is os.environ)


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


def visible(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, without Slurm's variables if they are to be ignored."""
    if not is_ignored(environment):
        return environment
    return {name: value for name, value in environment.items() if not name.startswith("SLURM")}


def is_further_process(environment: Mapping[str, str] = os.environ, *, of_all_machines: bool = False) -> bool:
    """Whether this is not the first of a launcher's processes, on this machine or on all.

    Lightning and torchrun pass the rank on the machine as LOCAL_RANK, torchrun that of the machine as GROUP_RANK.
    """
    environment = visible(environment)
    numbers = ["LOCAL_RANK", "SLURM_LOCALID"]
    if of_all_machines:
        numbers += ["GROUP_RANK", "SLURM_NODEID"]
    return any(environment.get(name, "0") != "0" for name in numbers)


def requeue(environment: Mapping[str, str] = os.environ) -> None:
    """Ask Slurm to start this job again; outside a job, do nothing."""
    environment = visible(environment)
    if JOB not in environment:
        return
    job = environment[JOB]
    if "SLURM_ARRAY_JOB_ID" in environment:
        job = f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    subprocess.run(["scontrol", "requeue", job], check=True)

"""Slurm and torchrun, as far as a training depends on them; everything is read from the
environment.
"""

import os
import subprocess
from collections.abc import Mapping

# The variables by which Lightning detects either of them.
SLURM, TORCHRUN = "SLURM_NTASKS", "TORCHELASTIC_RUN_ID"

# With one of them set to 0, Slurm is ignored.
SWITCHES = ("EXACT_RESUME_SLURM", "CONVBLOCKS_SLURM")

# Set if there is a job to requeue.
JOB = "SLURM_JOB_ID"


def visible(environment: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """The environment, without Slurm's variables if the user wants them to be ignored."""
    if any(environment.get(switch) == "0" for switch in SWITCHES):
        return {name: value for name, value in environment.items() if not name.startswith("SLURM")}
    return environment


def is_further_process(
    environment: Mapping[str, str] = os.environ, *, of_all_machines: bool = False
) -> bool:
    """Whether this is not the first of a launcher's processes, on this machine or on
    all.

    Lightning and torchrun pass the rank on the machine as LOCAL_RANK, torchrun that of
    the machine as GROUP_RANK.
    """
    numbers = ["LOCAL_RANK", "SLURM_LOCALID"]
    if of_all_machines:
        numbers += ["GROUP_RANK", "SLURM_NODEID"]
    return any(visible(environment).get(name, "0") != "0" for name in numbers)


def requeue(environment: Mapping[str, str] = os.environ) -> None:
    """Ask Slurm to start this job again; outside a job, do nothing."""
    environment = visible(environment)
    if JOB in environment:
        job = environment[JOB]
        if "SLURM_ARRAY_JOB_ID" in environment:
            job = "{SLURM_ARRAY_JOB_ID}_{SLURM_ARRAY_TASK_ID}".format_map(environment)
        subprocess.run(["scontrol", "requeue", job], check=False)  # it prints its own errors

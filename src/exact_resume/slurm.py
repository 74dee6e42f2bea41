"""Slurm and torchrun, as far as a training depends on them; everything is read from the
environment.
"""

import os
import subprocess
from collections.abc import Mapping

from exact_resume.errors import ResumeError

Environment = Mapping[str, str]

# The variables by which Lightning detects either of them.
SLURM, TORCHRUN = "SLURM_NTASKS", "TORCHELASTIC_RUN_ID"

# With one of them set to 0, Slurm is ignored.
SWITCHES = ("EXACT_RESUME_SLURM", "CONVBLOCKS_SLURM")

# What launchers set, and Lightning reads.
NUMBERS = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_NTASKS",
)

# Lightning reads it however its processes were started.
RANK = "SLURM_PROCID"

# Set if there is a job to requeue.
JOB = "SLURM_JOB_ID"


def visible(environment: Environment = os.environ) -> Environment:
    """The environment, without Slurm's variables if the user wants them to be ignored."""
    if any(environment.get(switch) == "0" for switch in SWITCHES):
        return {name: value for name, value in environment.items() if not name.startswith("SLURM")}
    return environment


def is_launched() -> bool:
    """Whether srun or torchrun has started this process."""
    return bool({SLURM, TORCHRUN} & visible().keys())


def refuse_odd_numbers() -> None:
    """Raise a ResumeError for a rank or a number of processes that is no number: Lightning
    reads them when it is imported. Where Slurm is to be ignored, its rank is taken away.
    """
    seen = visible()
    if RANK not in seen:
        os.environ.pop(RANK, None)
    for name in NUMBERS:
        number = seen.get(name, "0")
        if not number.isdecimal():
            raise ResumeError(f"the variable {name} is {number!r}, which is no number: unset it")


def is_further_process(*, of_all_machines: bool = False) -> bool:
    """Whether this is not the first of a launcher's processes, on this machine or on
    all.

    Lightning and torchrun pass the rank on the machine as LOCAL_RANK, torchrun that of
    the machine as GROUP_RANK.
    """
    numbers = ["LOCAL_RANK", "SLURM_LOCALID"]
    if of_all_machines:
        numbers += ["GROUP_RANK", "SLURM_NODEID"]
    return any(visible().get(name, "0") != "0" for name in numbers)


def requeue(environment: Environment = os.environ) -> None:
    """Ask Slurm to start this job again; outside a job, do nothing."""
    environment = visible(environment)
    if JOB in environment:
        job = environment[JOB]
        if "SLURM_ARRAY_JOB_ID" in environment:
            job = "{SLURM_ARRAY_JOB_ID}_{SLURM_ARRAY_TASK_ID}".format_map(environment)
        subprocess.run(["scontrol", "requeue", job], check=False)  # it prints its own errors

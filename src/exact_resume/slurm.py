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

# Variables of the environment; with one of them set to 0, Slurm is ignored.
SWITCHES = ("EXACT_RESUME_SLURM", "CONVBLOCKS_SLURM")

# The variables that launchers set and Lightning reads, which must be numbers.
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

# The rank that Lightning reads even if its processes were not started by Slurm.
RANK = "SLURM_PROCID"

# The variable that is set in a job, which can be requeued.
JOB = "SLURM_JOB_ID"


def visible(environment: Environment = os.environ) -> Environment:
    """The environment, without Slurm's variables if the user wants them to be ignored."""
    if any(environment.get(switch) == "0" for switch in SWITCHES):
        return {name: value for name, value in environment.items() if not name.startswith("SLURM")}
    return environment


def is_launched() -> bool:
    """True in a process that srun or torchrun has started."""
    return bool({SLURM, TORCHRUN} & visible().keys())


def refuse_odd_numbers() -> None:
    """Raise a ResumeError if one of the variables in ``NUMBERS`` is no number: Lightning reads
    them when it is imported. Where Slurm is to be ignored, remove its rank.
    """
    seen = visible()
    if RANK not in seen:
        os.environ.pop(RANK, None)
    for name in NUMBERS:
        number = seen.get(name, "0")
        if not number.isdecimal():
            raise ResumeError(f"the variable {name} is {number!r}, which is not a number: unset it")


def is_further_process(*, of_all_machines: bool = False) -> bool:
    """True in all of a launcher's processes but the first of this machine, or of all machines.

    Lightning and torchrun pass the rank of a process on its machine as LOCAL_RANK, torchrun
    the rank of the machine as GROUP_RANK.
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

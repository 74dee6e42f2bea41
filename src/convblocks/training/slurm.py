"""What a run must know of Slurm, and of who else started it; all of it comes from the environment."""

import os
import subprocess
from collections.abc import Mapping

from convblocks.errors import UsageError


def check_tasks(devices: str | int, nodes: int, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse what would hang, or run several times instead of together.

    Raises:
        UsageError: a job of several tasks that was started without srun, or whose tasks are not one a device.
    """
    if "SLURM_JOB_ID" not in environment:
        return
    tasks = int(environment.get("SLURM_NTASKS", 1))
    if tasks > 1 and "SLURM_STEP_ID" not in environment:
        raise UsageError(f"this job has {tasks} tasks, but python was started without srun: put srun before it")
    started = int(environment.get("SLURM_STEP_NUM_TASKS", tasks))
    if str(devices).isdecimal() and started != int(devices) * nodes:
        raise UsageError(
            f"srun started {started} tasks, but --trainer.devices {devices} and --trainer.num_nodes {nodes} make "
            f"{int(devices) * nodes}: there must be one task a device"
        )
    if started > 1 and not str(devices).isdecimal():
        raise UsageError(f"srun started {started} tasks: give --trainer.devices, the number of tasks on each node")


def is_further_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is not the first of those that a launcher has started on this machine.

    Lightning and torchrun tell a process its number as LOCAL_RANK.
    """
    return any(environment.get(name, "0") != "0" for name in ("LOCAL_RANK", "SLURM_LOCALID"))


def requeue() -> None:
    """Ask Slurm to start this job again; outside a job, do nothing."""
    if "SLURM_JOB_ID" not in os.environ:
        return
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    subprocess.run(["scontrol", "requeue", job], check=True)

"""What a run must know of Slurm or torchrun, if they started it; all of it comes from the environment."""

import os
import socket
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from convblocks.errors import UsageError

# By which Lightning finds out that one of them started it.
SLURM, TORCHRUN = "SLURM_NTASKS", "TORCHELASTIC_RUN_ID"

# By which a run finds out that it has a job to requeue.
JOB = "SLURM_JOB_ID"

# By which it finds out what else starts a run on several nodes: a user by hand, LSF, MPI of two kinds.
OTHERS = {"NODE_RANK", "LSB_JOBID", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"}

# In jobs of these names it starts processes itself, as if there were no Slurm.
INTERACTIVE = ("bash", "interactive")


class Launch(NamedTuple):
    """What a launcher has started, on how many nodes, and its options for what else it could have."""

    said: str
    processes: int
    nodes: int
    options: str


def check_layout(devices: str | int | list[int], nodes: int, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse what would hang, or run several times instead of together.

    Raises:
        UsageError: what was started is not one process for each of the Trainer's devices.
    """
    launch = _launch(environment)
    if launch is None:
        if nodes > 1 and not OTHERS & environment.keys():
            raise UsageError(
                f"--trainer.num_nodes {nodes}, but this was started on one: leave it out, or put srun, or on each node "
                "torchrun, before fit.py or compare.py --trial (docs/cluster.md)"
            )
        return
    each, rest = divmod(launch.processes, launch.nodes)
    if rest:
        even = launch.options.format(launch.nodes, each + 1)
        raise UsageError(f"{launch.said} on {launch.nodes} nodes, and each must have as many: start it with {even}")
    given = _number_of(devices)
    is_alone = given is None and nodes == launch.processes == 1
    if is_alone or (given, nodes) == (each, launch.nodes):
        _check_what_lightning_reads(each, environment)
        return
    write = [f"--trainer.devices {each}"] if given != each else []
    write += [f"--trainer.num_nodes {launch.nodes}"] if nodes != launch.nodes else []
    if given is None:
        raise UsageError(f"{launch.said}: write {' '.join(write)}")
    makes = f"make {given * nodes}" if given * nodes != launch.processes else f"make {given} on each of {nodes}"
    raise UsageError(
        f"{launch.said}, but --trainer.devices {given} and --trainer.num_nodes {nodes} {makes}: "
        f"write {' '.join(write)}, or start it with {launch.options.format(nodes, given)}"
    )


def launcher_of_several(environment: Mapping[str, str] = os.environ) -> str | None:
    """What has started this process as one that shall train with others; None if it stands alone."""
    if TORCHRUN in environment:
        return "torchrun"
    return "srun" if environment.get("SLURM_STEP_NUM_TASKS", "1") != "1" else None


def hide_launcher() -> None:
    """Let Lightning itself start the further processes of the runs that are started from here."""
    for name in (SLURM, TORCHRUN):
        os.environ.pop(name, None)


def _launch(environment: Mapping[str, str]) -> Launch | None:
    """What torchrun, also within a job of Slurm, or srun has started; None where Lightning starts processes itself.

    Raises:
        UsageError: these are several tasks, but not as Lightning understands it.
    """
    if TORCHRUN in environment:
        processes, nodes = _number("WORLD_SIZE", environment), _number("GROUP_WORLD_SIZE", environment)
        said = f"torchrun started {processes} process{'es' if processes > 1 else ''}"
        return Launch(said, processes, nodes, "--nnodes {} --nproc_per_node {}")
    if SLURM not in environment:
        return None
    tasks, nodes = _number(SLURM, environment), _number("SLURM_NNODES", environment)
    is_step = "SLURM_STEP_ID" in environment
    started = _number("SLURM_STEP_NUM_TASKS", environment, tasks) if is_step else 1
    if environment.get("SLURM_JOB_NAME") in INTERACTIVE:
        if started > 1:
            named = environment["SLURM_JOB_NAME"]
            raise UsageError(f"in a job named {named} Lightning takes no notice of srun: write srun --job-name=fit")
        return None
    if tasks > 1 and not is_step:
        raise UsageError(f"this job has {tasks} tasks, but python was started without srun: put srun before it")
    said = f"srun started {started} task{'s' if started > 1 else ''}" if is_step else "this job has 1 task"
    return Launch(said, started, nodes, "--nodes={} --ntasks-per-node={}")


def _check_what_lightning_reads(each: int, environment: Mapping[str, str]) -> None:
    """Tell before Lightning does, whose hint leads astray on several nodes, which option it wants to see."""
    if TORCHRUN in environment or SLURM not in environment:
        return
    option = _number("SLURM_NTASKS_PER_NODE", environment, 0)
    if option != each and (option or int(environment[SLURM]) > 1):
        raise UsageError(f"Lightning wants to see how many tasks a node has: write srun --ntasks-per-node={each}")


def _number_of(devices: str | int | list[int]) -> int | None:
    """How many devices these are: a number, or a list such as ``[2, 3]`` or ``2,3``; None for as many as there are."""
    if isinstance(devices, list):
        return len(devices)
    text = str(devices)
    return len(text.strip(",").split(",")) if "," in text else int(text) if text.isdecimal() else None


def _number(name: str, environment: Mapping[str, str], default: int = 1) -> int:
    if (text := environment.get(name)) is None:
        return default
    if not text.isdecimal() or int(text) == 0:
        raise UsageError(f"{name} is {text!r}, and must be a number: unset it, or let srun or torchrun set it")
    return int(text)


def is_further_process(environment: Mapping[str, str] = os.environ, *, of_all_machines: bool = False) -> bool:
    """Whether this process is not the first of those that a launcher has started, on this machine or on all.

    Lightning and torchrun tell a process its number as LOCAL_RANK, torchrun that of its machine as GROUP_RANK.
    """
    numbers = ["LOCAL_RANK", "SLURM_LOCALID"]
    if of_all_machines:
        numbers += ["GROUP_RANK", "SLURM_NODEID"]
    return any(environment.get(name, "0") != "0" for name in numbers)


def host(environment: Mapping[str, str] = os.environ) -> str:
    """The name of this machine: Slurm's for it, where there is one."""
    return environment.get("SLURMD_NODENAME", socket.gethostname())


def requeue(environment: Mapping[str, str] = os.environ) -> None:
    """Ask Slurm to start this job again; outside a job, do nothing."""
    if JOB not in environment:
        return
    job = environment[JOB]
    if "SLURM_ARRAY_JOB_ID" in environment:
        job = f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    subprocess.run(["scontrol", "requeue", job], check=True)

"""Whether Slurm or torchrun has started the processes that the Trainer's settings ask for."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.mpi import MPIEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from convblocks.errors import UsageError
from convblocks.model import class_specs
from convblocks.run.slurm import SLURM, TORCHRUN, visible
from convblocks.text import counted

# Variables of other ways to start a run on several nodes: by hand, by LSF, by two kinds of MPI.
OTHERS = {"NODE_RANK", "LSB_JOBID", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"}

# In jobs of these names Lightning ignores Slurm, and starts processes itself.
INTERACTIVE = ("bash", "interactive")


class Launch(NamedTuple):
    """The processes that a launcher has started, described in words too, and the options that set their number."""

    description: str
    processes: int
    nodes: int
    options: str


def check(settings: Mapping[str, Any]) -> None:
    """``check_layout`` of a run's settings, unless they contain a cluster environment, which replaces Slurm."""
    trainer = settings["trainer"]
    if not has_own_environment(trainer):
        check_layout(trainer.get("devices", "auto"), trainer.get("num_nodes", 1))


def has_own_environment(trainer: Mapping[str, Any]) -> bool:
    """Whether a Trainer's settings contain a cluster environment, as a plugin or an argument of its strategy."""
    plugins, strategy = trainer.get("plugins"), trainer.get("strategy")
    given = [*plugins] if isinstance(plugins, list) else [plugins]
    if isinstance(strategy, dict):
        given.append(strategy.get("init_args", {}).get("cluster_environment"))
    classes = [class_specs.import_class(one["class_path"]) for one in given if one]
    return any(isinstance(one, type) and issubclass(one, ClusterEnvironment) for one in classes)


def cluster_environments(trainer: Mapping[str, Any]) -> list[ClusterEnvironment]:
    """The plugin with which Lightning uses Slurm without its own requeueing, or ignores it; otherwise none.

    Args:
        trainer: The Trainer's settings.

    Raises:
        UsageError: Lightning cannot use this job's layout.
    """
    # torchrun may run under srun.
    if has_own_environment(trainer) or TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    if SLURM not in visible():
        return [MPIEnvironment() if MPIEnvironment.detect() else LightningEnvironment()]
    try:
        return [SLURMEnvironment(auto_requeue=False)]  # ExactResume requeues, without deadlocks
    except RuntimeError as error:
        raise UsageError(" ".join(str(error).split())) from error


def check_layout(devices: str | int | list[int], nodes: int, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse layouts in which processes would hang, or train separately instead of together.

    Lightning checks only some of them, and only when training starts.

    Raises:
        UsageError: the launcher has not started one process for each of the Trainer's devices.
    """
    environment = visible(environment)
    launch = _launch(environment)
    if launch is None:
        if nodes > 1 and not OTHERS & environment.keys():
            raise UsageError(
                f"--trainer.num_nodes {nodes}, but this was started on one: leave it out, or put srun, or on each node "
                "torchrun, before `convblocks fit` or `compare --trial` (docs/manual/cluster.md)"
            )
        return
    each, rest = divmod(launch.processes, launch.nodes)
    if rest:
        even = launch.options.format(launch.nodes, each + 1)
        raise UsageError(
            f"{launch.description} on {launch.nodes} nodes, and each must have the same number: start it with {even}"
        )
    given = _number_of(devices)
    is_alone = given is None and nodes == launch.processes == 1
    if is_alone or (given, nodes) == (each, launch.nodes):
        _check_what_lightning_reads(each, environment)
        return
    write = [f"--trainer.devices {each}"] if given != each else []
    write += [f"--trainer.num_nodes {launch.nodes}"] if nodes != launch.nodes else []
    if given is None:
        raise UsageError(f"{launch.description}: write {' '.join(write)}")
    makes = f"make {given * nodes}" if given * nodes != launch.processes else f"make {given} on each of {nodes}"
    raise UsageError(
        f"{launch.description}, but --trainer.devices {given} and --trainer.num_nodes {nodes} {makes}: "
        f"write {' '.join(write)}, or start it with {launch.options.format(nodes, given)}"
    )


def _launch(environment: Mapping[str, str]) -> Launch | None:
    """The processes started by torchrun, also within a Slurm job, or by srun; None if Lightning starts them itself.

    Raises:
        UsageError: there are several tasks, but Lightning would not see them as such.
    """
    if TORCHRUN in environment:
        processes, nodes = _number("WORLD_SIZE", environment), _number("GROUP_WORLD_SIZE", environment)
        description = f"torchrun started {processes} process{'es' if processes > 1 else ''}"
        return Launch(description, processes, nodes, "--nnodes {} --nproc_per_node {}")
    if SLURM not in environment:
        return None
    tasks, nodes = _number(SLURM, environment), _number("SLURM_NNODES", environment)
    is_step = "SLURM_STEP_ID" in environment
    started = _number("SLURM_STEP_NUM_TASKS", environment, tasks) if is_step else 1
    if environment.get("SLURM_JOB_NAME") in INTERACTIVE:
        if started > 1:
            name = environment["SLURM_JOB_NAME"]
            raise UsageError(f"in a job named {name} Lightning ignores srun: write srun --job-name=fit")
        return None
    if tasks > 1 and not is_step:
        raise UsageError(f"this job has {tasks} tasks, but python was started without srun: put srun before it")
    description = f"srun started {counted(started, 'task')}" if is_step else "this job has 1 task"
    return Launch(description, started, nodes, "--nodes={} --ntasks-per-node={}")


def _check_what_lightning_reads(each: int, environment: Mapping[str, str]) -> None:
    """Require ``--ntasks-per-node`` before Lightning does: its hint is wrong on several nodes."""
    if TORCHRUN in environment or SLURM not in environment:
        return
    option = _number("SLURM_NTASKS_PER_NODE", environment, 0)
    if option != each and (option or int(environment[SLURM]) > 1):
        raise UsageError(f"Lightning needs the number of tasks per node: write srun --ntasks-per-node={each}")


def _number_of(devices: str | int | list[int]) -> int | None:
    """The number of devices, given as a number or as a list such as ``[2, 3]`` or ``2,3``; None for auto."""
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

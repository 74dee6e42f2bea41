"""Whether Slurm or torchrun has started the processes that the Trainer's settings ask for."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from convblocks.errors import UsageError
from convblocks.model import trust
from convblocks.run.slurm import SLURM, TORCHRUN, visible
from convblocks.text import counted

# Variables of other ways to start a run on several nodes: by hand, by LSF, by two kinds of MPI.
OTHERS = {"NODE_RANK", "LSB_JOBID", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"}

# In jobs of these names Lightning ignores Slurm, and starts processes itself.
INTERACTIVE = ("bash", "interactive")


class Launch(NamedTuple):
    """The processes that a launcher has started, described in words too."""

    description: str
    processes: int
    nodes: int


def check(settings: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> None:
    """Refuse layouts in which processes would hang, or train separately instead of
    together.

    Lightning checks only some of them, and only when training starts. A cluster
    environment among the settings replaces Slurm, and is trusted.

    Raises:
        UsageError: the launcher has not started one process for each of the Trainer's
            devices.
    """
    trainer, environment = settings["trainer"], visible(environment)
    if has_own_environment(trainer):
        return
    launch, devices, nodes = (
        _launch(environment),
        trainer.get("devices", "auto"),
        trainer.get("num_nodes", 1),
    )
    if launch is None:
        if nodes > 1 and not OTHERS & environment.keys():
            raise UsageError(
                f"--trainer.num_nodes {nodes}, but this was started on one: leave it out, or put srun, or on each node "
                "torchrun, before `convblocks fit` or `compare --trial` (docs/manual/cluster.md)"
            )
        return
    count = _number_of(devices)
    is_alone = count is None and nodes == launch.processes == 1
    if not is_alone and (
        count is None or (count * nodes, nodes) != (launch.processes, launch.nodes)
    ):
        raise UsageError(
            f"{launch.description}, but --trainer.devices is {devices} and --trainer.num_nodes {nodes}: write "
            f"--trainer.devices {launch.processes // launch.nodes} --trainer.num_nodes {launch.nodes}, or start as "
            "many on each node as it has devices"
        )


def has_own_environment(trainer: Mapping[str, Any]) -> bool:
    """Whether a Trainer's settings contain a cluster environment, as a plugin."""
    plugins = trainer.get("plugins")
    specs = plugins if isinstance(plugins, list) else [plugins]
    classes = [trust.import_class(spec["class_path"]) for spec in specs if spec]
    return any(isinstance(kind, type) and issubclass(kind, ClusterEnvironment) for kind in classes)


def cluster_environments(trainer: Mapping[str, Any]) -> list[ClusterEnvironment]:
    """The plugin with which Lightning uses Slurm without its own requeueing, or ignores
    it; otherwise none.

    Args:
        trainer: The Trainer's settings.

    Raises:
        UsageError: Lightning cannot use this job's layout.
    """
    # torchrun may run under srun.
    if (
        has_own_environment(trainer)
        or TorchElasticEnvironment.detect()
        or not SLURMEnvironment.detect()
    ):
        return []
    if SLURM not in visible():
        return [LightningEnvironment()]
    try:
        return [SLURMEnvironment(auto_requeue=False)]  # ExactResume requeues, without deadlocks
    except RuntimeError as error:
        raise UsageError(" ".join(str(error).split())) from error


def _launch(environment: Mapping[str, str]) -> Launch | None:
    """The processes started by torchrun, also within a Slurm job, or by srun; None if
    Lightning starts them itself.

    Raises:
        UsageError: there are several tasks, but Lightning would not see them as such.
    """
    if TORCHRUN in environment:
        processes, nodes = int(environment["WORLD_SIZE"]), int(environment["GROUP_WORLD_SIZE"])
        return Launch(f"torchrun started {counted(processes, 'worker')}", processes, nodes)
    if SLURM not in environment:
        return None
    tasks, is_step = int(environment[SLURM]), "SLURM_STEP_ID" in environment
    started = int(environment.get("SLURM_STEP_NUM_TASKS", tasks)) if is_step else 1
    if environment.get("SLURM_JOB_NAME") in INTERACTIVE:
        if started > 1:
            name = environment["SLURM_JOB_NAME"]
            raise UsageError(
                f"in a job named {name} Lightning ignores srun: write srun --job-name=fit"
            )
        return None
    if tasks > 1 and not is_step:
        raise UsageError(
            f"this job has {tasks} tasks, but python was started without srun: put srun before it"
        )
    description = f"srun started {counted(started, 'task')}" if is_step else "this job has 1 task"
    return Launch(description, started, int(environment.get("SLURM_NNODES", 1)))


def _number_of(devices: str | int | list[int]) -> int | None:
    """The number of devices, given as a number or as a list such as ``[2, 3]`` or
    ``2,3``; None for auto.
    """
    if isinstance(devices, list):
        return len(devices)
    text = str(devices)
    return (
        len(text.strip(",").split(",")) if "," in text else int(text) if text.isdecimal() else None
    )

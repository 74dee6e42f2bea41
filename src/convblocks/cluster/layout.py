"""Checks that Slurm or torchrun has started the processes that the Trainer's settings ask
for.
"""

from typing import NamedTuple

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from convblocks.errors import UsageError, one_line
from convblocks.model import trust
from convblocks.text import Settings, as_list, counted
from exact_resume.slurm import SLURM, TORCHRUN, Environment, visible

# Variables of other ways to start a run on several nodes: by hand, by LSF, by two kinds of MPI.
OTHERS = {"NODE_RANK", "LSB_JOBID", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"}

# The names of Slurm jobs in which Lightning ignores Slurm, and starts processes itself.
INTERACTIVE = ("bash", "interactive")


class Launch(NamedTuple):
    """The processes that a launcher has started, described in words too."""

    description: str
    processes: int
    nodes: int


def check(settings: Settings) -> None:
    """Refuse layouts in which processes would hang, or train separately instead of
    together.

    Lightning checks only some of them, and only when training starts. A cluster
    environment among the settings replaces Slurm, and is trusted.

    Raises:
        UsageError: the launcher has not started one process for each of the Trainer's
            devices.
    """
    trainer = settings["trainer"]
    if has_own_environment(trainer):
        return
    environment = visible()
    devices = trainer.get("devices", "auto")
    nodes = trainer.get("num_nodes", 1)
    launch = _launch(environment)
    if launch is None:
        if nodes > 1 and not OTHERS & environment.keys():
            raise UsageError(
                f"--trainer.num_nodes {nodes}, but this was started on one: leave it out, "
                "or put srun, or on each node torchrun, before `convblocks fit` "
                "or `compare --trial` (docs/manual/cluster.md)"
            )
        return
    count = _number_of(devices)
    fits = nodes == launch.processes == 1
    if count is not None:
        fits = launch[1:] == (count * nodes, nodes)
    if not fits:
        raise UsageError(
            f"{launch.description}, but --trainer.devices is {devices} "
            f"and --trainer.num_nodes {nodes}: write "
            f"--trainer.devices {launch.processes // launch.nodes} "
            f"--trainer.num_nodes {launch.nodes}, "
            "or start as many on each node as it has devices"
        )


def has_own_environment(trainer: Settings) -> bool:
    """True if a Trainer's settings have a plugin that is a cluster environment."""
    specs = as_list(trainer.get("plugins"))
    kinds = [trust.import_class(spec["class_path"]) for spec in specs]
    return any(trust.is_a(ClusterEnvironment, kind) for kind in kinds)


def cluster_environments(trainer: Settings) -> list[ClusterEnvironment]:
    """The plugin with which Lightning uses Slurm without its own requeueing, or ignores
    it; otherwise none.

    Args:
        trainer: The Trainer's settings.

    Raises:
        UsageError: Lightning cannot use this job's layout.
    """
    # torchrun may run under srun.
    is_slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    if not is_slurm or has_own_environment(trainer):
        return []
    if SLURM not in visible():
        return [LightningEnvironment()]
    try:
        # ExactResume requeues, without deadlocks.
        return [SLURMEnvironment(auto_requeue=False)]
    except RuntimeError as error:
        raise UsageError(one_line(error)) from error


def _launch(environment: Environment) -> Launch | None:
    """The processes started by torchrun, also within a Slurm job, or by srun; None if
    Lightning starts them itself.

    Raises:
        UsageError: there are several tasks, but Lightning would not see them as such.
    """
    if TORCHRUN in environment:
        processes = int(environment["WORLD_SIZE"])
        description = f"torchrun started {counted(processes, 'worker')}"
        return Launch(description, processes, int(environment.get("GROUP_WORLD_SIZE", 1)))
    if SLURM not in environment:
        return None
    tasks = int(environment[SLURM])
    started = 1
    description = "this job has 1 task"
    is_step = "SLURM_STEP_ID" in environment
    if is_step:
        started = int(environment.get("SLURM_STEP_NUM_TASKS", tasks))
        description = f"srun started {counted(started, 'task')}"
    name = environment.get("SLURM_JOB_NAME")
    if name in INTERACTIVE:
        if started > 1:
            raise UsageError(
                f"in a job named {name} Lightning ignores srun: write srun --job-name=fit"
            )
        return None
    if tasks > 1 and not is_step:
        raise UsageError(
            f"this job has {tasks} tasks, but python was started without srun: put srun before it"
        )
    return Launch(description, started, int(environment.get("SLURM_NNODES", 1)))


def _number_of(devices: str | int | list[int]) -> int | None:
    """The number of devices, given as a number or as a list such as ``[2, 3]`` or
    ``2,3``; None for auto.
    """
    if isinstance(devices, list):
        return len(devices)
    text = str(devices)
    if "," in text:
        return len(text.strip(",").split(","))
    return int(text) if text.isdecimal() else None

"""Whether srun or torchrun has started as many processes as the Trainer expects."""

import pytest

from convblocks.cluster.layout import check
from convblocks.errors import UsageError


def srun(tasks: int, nodes: int = 1, **others: str) -> dict[str, str]:
    """The environment set by srun."""
    started = {"SLURM_NTASKS": str(tasks), "SLURM_NNODES": str(nodes), "SLURM_STEP_ID": "0"}
    return started | {"SLURM_NTASKS_PER_NODE": str(tasks // nodes), "SLURM_JOB_ID": "7"} | others


def torchrun(processes: int, nodes: int = 1) -> dict[str, str]:
    """The environment set by torchrun."""
    return {
        "TORCHELASTIC_RUN_ID": "7",
        "WORLD_SIZE": str(processes),
        "GROUP_WORLD_SIZE": str(nodes),
    }


@pytest.mark.parametrize(
    ("devices", "nodes", "environment"),
    [
        ("auto", 1, {}),
        (4, 1, {}),
        (2, 2, srun(4, nodes=2)),
        ("auto", 1, srun(1)),
        # srun --pty bash, and Lightning starts the others.
        (4, 1, srun(1) | {"SLURM_JOB_NAME": "bash"}),
        (2, 2, torchrun(4, nodes=2)),
        ([2, 3], 1, torchrun(2)),
        ("2,3", 1, srun(2)),
        (4, 2, srun(2, nodes=2) | torchrun(8, nodes=2)),  # srun torchrun
        (8, 2, {"NODE_RANK": "1"}),
    ],
)
def test_as_many_processes_as_devices_are_accepted(
    devices: str | int | list[int],
    nodes: int,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    check({"trainer": {"devices": devices, "num_nodes": nodes}})


@pytest.mark.parametrize(
    ("devices", "nodes", "environment", "message"),
    [
        (
            1,
            1,
            {"SLURM_NTASKS": "2"},
            "this job has 2 tasks, but python was started without srun: put srun before it",
        ),
        (
            2,
            1,
            srun(4, nodes=2),
            "srun started 4 tasks, .* is 2 and .* 1: write --trainer.devices 2",
        ),
        (1, 1, srun(1) | {"SLURM_STEP_NUM_TASKS": "4"}, "srun started 4 tasks, but"),
        (
            "auto",
            1,
            srun(4, nodes=2),
            "srun started 4 tasks, .* is auto .* write --trainer.devices 2",
        ),
        (4, 1, srun(4) | {"SLURM_JOB_NAME": "interactive"}, "write srun --job-name=fit"),
        ("auto", 1, torchrun(2), "torchrun started 2 workers, .* write --trainer.devices 2"),
        (1, 2, {}, "--trainer.num_nodes 2, but this was started on one: leave it out, or put srun"),
    ],
)
def test_processes_that_would_not_train_together_are_refused_with_advice(
    devices: str | int,
    nodes: int,
    environment: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message):
        check({"trainer": {"devices": devices, "num_nodes": nodes}})

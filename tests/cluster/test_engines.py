"""Runs within other engines: in a thread, with a foreign cluster environment or process
group, without Slurm.
"""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments.lightning import (
    LightningEnvironment,
    find_free_network_port,
)

from convblocks.cluster import layout
from convblocks.data.images import ImageSets
from convblocks.record.directory import RunDirectory
from exact_resume import signals
from exact_resume.agreement import end_process_group
from tests.cluster.test_layout import srun
from tests.conftest import write_digits
from tests.core.run.test_fit import QUICK, assert_same_weights, train

RUN = [
    "--arch",
    "mlp",
    "--epochs",
    "1",
    "--threads",
    "1",
    "--trainer.accelerator",
    "cpu",
    "--data.root",
    "digits",
]
ENGINE = ["--trainer.plugins", "engine.Engine"]

# The last of four tasks on two nodes, started by something else than srun, which
# layout.check refuses.
TASK = {
    **{"SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_ID": "7"},
    **{"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURMD_NODENAME": "node2"},
}
OFF = {"CONVBLOCKS_SLURM": "0"}


@pytest.fixture
def folder(workspace: Path, digits: ImageSets) -> Path:
    """A current folder with a few digits, and the cluster environment of an engine that
    starts its own processes.
    """
    write_digits(workspace / "digits", digits)
    (workspace / "engine.py").write_text(
        "from lightning.fabric.plugins.environments import LightningEnvironment\n"
        "class Engine(LightningEnvironment):\n"
        "    creates_processes_externally = True\n"
    )
    return workspace


@pytest.fixture(autouse=True)
def clean_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what Lightning sets in the environment, and end the process group."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(find_free_network_port()))
    yield
    end_process_group()


def test_run_in_a_thread_has_the_weights_of_one_in_the_main_thread(folder: Path) -> None:
    train(*RUN, *QUICK, "--name", "main")
    with ThreadPoolExecutor(1) as threads:
        threads.submit(train, *RUN, *QUICK, "--name", "thread").result()
    assert_same_weights(RunDirectory("thread"), RunDirectory("main"))


def set_all(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "flags"),
    [(TASK, ENGINE), (srun(1), [*ENGINE, "--trainer.devices", "1"]), (TASK | OFF, [])],
    ids=["plugin and tasks", "plugin", "off"],
)
def test_slurm_is_ignored_if_turned_off_or_replaced_by_the_trainers_cluster_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], flags: list[str]
) -> None:
    set_all(variables, monkeypatch)
    train(*RUN, *QUICK, *flags, "--name", "own")
    assert RunDirectory("own").read_result().provenance.processes == 1


def test_slurm_that_is_turned_off_is_hidden_from_lightning_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_all(srun(1) | OFF, monkeypatch)
    (used,) = layout.cluster_environments({})
    assert type(used) is LightningEnvironment


def test_signals_of_a_cancelled_job_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm may send both: a cancelled job must not be requeued."""
    monkeypatch.setattr(signals, "_received", 0)
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR1):
        signals._note(number, None)
    assert signals.received() == signal.SIGTERM

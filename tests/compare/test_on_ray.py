"""Trials on a real Ray cluster of two nodes, both on this machine, one of which dies."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import convblocks.compare
from convblocks.compare import command as compare
from convblocks.compare.options import parse
from convblocks.errors import UserError
from convblocks.record.directory import LOGS, RunDirectory
from tests.compare.test_compare import SHORT
from tests.compare.test_forked import OWN
from tests.conftest import needs
from tests.core.run.test_fit import assert_same_weights
from tests.forked_python import python_path
from tests.scripts import run_script, start_script, wait_until

ON_RAY = ["--launcher", "ray"]
MEMORY = {"object_store_memory": 80 * 2**20}  # the least; nothing is kept there

# Of a comparison whose first trials have much left to do after their first epoch.
LONG = ["--epochs", "3", "--trainer.limit_train_batches", "200", "--trainer.limit_val_batches", "2"]
LONG += ["--arch", "batchnorm", "mlp", "--seeds", "2"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of one node with one CPU, to which commands connect."""
    needs("ray")
    from ray.cluster_utils import Cluster

    # Where Ray notes a cluster's address, whatever its temp_dir.
    Path("/tmp/ray").mkdir(exist_ok=True)
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory() as folder,  # pytest's own is too long for a socket
    ):
        patch.setenv("PYTHONPATH", python_path())  # to tests/
        head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": folder, **MEMORY}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
        cluster.shutdown()


def under_way() -> int:
    """The number of trials that have a checkpoint, but no result yet."""
    runs = [checkpoint.parents[1] for checkpoint in (LOGS / "ray").rglob("last.ckpt")]
    return len([run for run in runs if not (run / "summary.json").exists()])


@pytest.mark.slow
def test_ray_node_that_dies_changes_no_number(cluster: Any, workspace: Path) -> None:
    compare.main([*LONG, "--name", "local"])
    node = cluster.add_node(num_cpus=1, **MEMORY)
    with start_script("compare", *LONG, *ON_RAY, "--name", "ray", cwd=workspace) as process:
        wait_until(lambda: process.returncode is not None or under_way() == 2)
        cluster.remove_node(node, allow_graceful=False)
        _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")
    local, on_ray = (parse([*LONG, "--name", name]).trials for name in ("local", "ray"))
    begun = [trial.log.read_text().count("parameters") for trial in on_ray]
    assert sorted(begun) == [1, 1, 1, 2]  # one resumed
    for here, there in zip(local, on_ray, strict=True):
        assert_same_weights(here.run, there.run)
    tables = [(LOGS / name / "comparison.json").read_text() for name in ("local", "ray")]
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_ray_trial_has_the_workers_that_fit_has(cluster: Any, workspace: Path) -> None:
    """With a lambda as collate_fn, so they are forked."""
    words = [*OWN, "--data.kind=collated"]
    for command, seed in {"compare": ["--seeds", "1", *ON_RAY], "fit": ["--seed", "0"]}.items():
        done = run_script(command, *words, *seed, "--name", command, cwd=workspace, fresh=True)
        assert done.returncode == 0, done.stderr
    (summary,) = (LOGS / "compare").rglob("summary.json")
    trial = RunDirectory(str(summary.parent.relative_to(LOGS)))
    assert trial.read_result().final == RunDirectory("fit").read_result().final
    assert len({*Path("methods").read_text().split()}) == 1


@pytest.mark.slow
def test_ray_lets_trials_save_at_ctrl_c_and_one_that_fails_leaves_the_others(
    cluster: Any, workspace: Path
) -> None:
    """The first trial is the one that fails."""
    flags = [*LONG, *ON_RAY, "--arch", "batchnorm", "--name", "stopped"]
    failing, stopped = parse(flags).trials
    failing.run.path.mkdir(parents=True)
    (failing.run.path / "stray").touch()
    with start_script("compare", *flags, cwd=workspace) as process:
        wait_until(
            lambda: process.returncode is not None or list((LOGS / "stopped").rglob("last.ckpt"))
        )
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.startswith("compare.py: stopped: the same command carries on: python ")
    assert "config.yaml: it is missing" in failing.log.read_text()
    assert "continue with convblocks fit" in stopped.log.read_text()
    assert not list(stopped.log.parent.glob("*.stop"))
    finished = run_script("compare", *flags, cwd=workspace)
    assert finished.returncode == 1
    assert f"1 of 2 trials are not done: {failing.label}" in finished.stderr


@pytest.mark.slow
def test_ray_trial_that_fits_no_node_is_refused(cluster: Any, workspace: Path) -> None:
    finished = run_script("compare", *SHORT, *ON_RAY, "--threads", "9", cwd=workspace)
    line = (
        "compare.py: no node of the Ray cluster has {'CPU': 9} for a trial: give other --threads\n"
    )
    assert (finished.returncode, finished.stderr) == (1, line)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["127.0.0.1:{port}", "nonsense"])
def test_ray_without_a_cluster_says_how_to_start_one(
    wrong: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("ray")
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", wrong.format(port=unheard.getsockname()[1]))
        with pytest.raises(
            UserError,
            match=r"cannot use the Ray cluster at RAY_ADDRESS=.*: start one with ray start",
        ):
            compare.main([*SHORT, *ON_RAY])


def test_ray_that_is_not_installed_says_what_to_install(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "convblocks.compare.on_ray", raising=False)
    monkeypatch.delattr(convblocks.compare, "on_ray", raising=False)
    with pytest.raises(UserError, match="ray not found: pip install ray"):
        compare.main([*SHORT, *ON_RAY, "--arch", "mlp", "--seeds", "1"])

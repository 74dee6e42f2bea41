"""The project's own job scripts on a real Slurm of two nodes on this machine."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL
from tempfile import gettempdir

import pytest
import torch
from filelock import FileLock
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from convblocks.data.images import ImageSets
from convblocks.runs.directory import LOGS, RunDirectory
from convblocks.training import fit
from tests.conftest import REPOSITORY, write_digits
from tests.quick_python import environment_of, quick_python
from tests.training.test_distributed import weights
from tests.training.test_fit import curves, metric_rows
from tests.training.test_lost_processes import MORTAL, seconds_since

PATH_OF_PYTHON = os.environ["PATH"]  # not the quick one

SCRIPTS = REPOSITORY / "scripts" / "slurm"

# How Optuna's journal numbers what happens.
CREATE_TRIAL, END_TRIAL = 4, 6

COMMON = ["--threads", "1", "--trainer.accelerator", "cpu"]

FEW_BATCHES = ["--trainer.limit_train_batches", "20", "--data.root", "digits"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, digits: ImageSets) -> Iterator[Path]:
    """A folder to submit from, with the scripts and a few digits in it, while a cluster is up."""
    if shutil.which("slurmctld") is None or os.geteuid() != 0:
        reason = "needs root and Slurm: apt-get install slurmctld slurmd slurm-client"
        if "CI" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    state = tmp_path_factory.mktemp("slurm")
    folder = tmp_path_factory.mktemp("submitted")
    (folder / "scripts").symlink_to(REPOSITORY / "scripts")
    write_digits(folder / "digits", digits, train=50 * 64, test=200)
    # Its ports are the same in every checkout, and the sockets by which its commands prove who they are always.
    with FileLock(Path(gettempdir()) / "slurm-of-tests.lock"), pytest.MonkeyPatch.context() as patch:
        subprocess.run([REPOSITORY / "tests" / "training" / "slurm" / "up.sh", state], check=True)
        for name, value in environment_of(SLURM_CONF=str(state / "slurm.conf")).items():
            patch.setenv(name, value)  # which sbatch hands on
        patch.chdir(folder)
        try:
            yield folder
        finally:
            subprocess.run([REPOSITORY / "tests" / "training" / "slurm" / "down.sh", state], check=False)


def submit(script: Path, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """Submit a job script and return the job's number."""
    command = ["sbatch", "--parsable", *options, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def submit_text(folder: Path, text: str, *options: str) -> str:
    script = folder / "job.sbatch"
    script.write_text(f"#!/bin/bash\n{text}\n")
    return submit(script, options=options)


def job_states(job: str) -> set[str]:
    shown = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=False).stdout
    return {word.removeprefix("JobState=") for word in shown.split() if word.startswith("JobState=")}


def wait_for_states(job: str, wanted: set[str], seconds: float = 180) -> set[str]:
    deadline = time.monotonic() + seconds
    while not (states := job_states(job)) <= wanted or not states:
        assert time.monotonic() < deadline, f"job {job} is {states}:\n{output(job)}"
        time.sleep(0.3)
    return states


def ended(job: str) -> set[str]:
    return wait_for_states(job, {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"})


def wait_for_report(name: str) -> str:
    """The table written by the job that waits for an array to end."""
    report = LOGS / name / "comparison.md"
    deadline = time.monotonic() + 120
    while not report.is_file():
        assert time.monotonic() < deadline, output("*")
        time.sleep(0.3)
    return report.read_text()


def output(job: str) -> str:
    return "\n".join(path.read_text() for path in sorted(Path().glob(f"slurm-{job}*.out")))


def start_again(job: str) -> None:
    """Skip the two minutes for which Slurm holds a requeued job; too early, it would be killed."""
    wait_for_states(job, {"PENDING"})
    time.sleep(3)
    subprocess.run(["scontrol", "update", f"jobid={job}", "StartTime=now"], check=True)


@pytest.mark.slow
def test_two_nodes_of_two_tasks_equal_one_process(cluster: Path) -> None:
    flags = [*COMMON, "--arch", "batchnorm", "--epochs", "1", "--trainer.precision", "64-true"]
    flags += ["--trainer.limit_train_batches", "50", "--trainer.limit_val_batches", "2"]
    layout = ("--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1")
    job = submit(SCRIPTS / "fit.sbatch", *flags, "--name", "four", options=layout)
    assert ended(job) == {"COMPLETED"}, output(job)
    fit.main([*flags, "--name", "one"])
    one, four = weights(RunDirectory("one").path), weights(RunDirectory("four").path)
    for name, value in one.items():
        torch.testing.assert_close(four[name], value, rtol=1e-9, atol=1e-12)
    assert RunDirectory("four").read_result().provenance.processes == 4


@pytest.fixture(scope="module")
def requeues(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--requeues"))


def submit_run(name: str, requeues: int, *options: str) -> str:
    """Submit a run of two processes, long enough to be stopped so often."""
    flags = [*COMMON, "--arch", "mlp", "--epochs", str(2 * requeues + 2), "--trainer.limit_train_batches", "500"]
    flags += ["--trainer.limit_val_batches", "2", "--name", name]
    layout = ("--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1")
    return submit(SCRIPTS / "fit.sbatch", *flags, options=(*layout, *options))


def wait_for_epoch(number: int, run: RunDirectory, job: str) -> None:
    deadline = time.monotonic() + 180
    while len(run.read_metrics()) < number:
        assert time.monotonic() < deadline, output(job)
        time.sleep(0.1)


@pytest.fixture(scope="module")
def uninterrupted(cluster: Path, requeues: int) -> RunDirectory:
    job = submit_run("uninterrupted", requeues)
    assert ended(job) == {"COMPLETED"}, output(job)
    return RunDirectory("uninterrupted")


def assert_same_record(run: RunDirectory, expected: RunDirectory) -> None:
    """Every number of ``metrics.csv`` and of the curves but the times."""
    assert metric_rows(run) == metric_rows(expected)
    for tag in ("train/loss", "train/acc", "train/loss_step", "test/acc"):
        assert curves(run)[tag] == curves(expected)[tag]


@pytest.mark.slow
def test_a_job_that_is_requeued_carries_on_with_one_unbroken_curve(uninterrupted: RunDirectory, requeues: int) -> None:
    run = RunDirectory("requeued")
    job = submit_run(run.name, requeues)
    for _ in range(requeues):
        wait_for_epoch(len(run.read_metrics()) + 1, run, job)
        subprocess.run(["scancel", "--signal=USR1", job], check=True)
        start_again(job)
    assert ended(job) == {"COMPLETED"}, output(job)
    assert output(job).count("carry on with --resume") == requeues
    assert_same_record(run, uninterrupted)


@pytest.mark.slow
def test_a_cancelled_job_saves_and_is_not_requeued(uninterrupted: RunDirectory, requeues: int) -> None:
    """Also if Slurm starts Python directly."""
    run = RunDirectory("cancelled")
    job = submit_run(run.name, requeues, f"--export=ALL,PATH={PATH_OF_PYTHON}")
    wait_for_epoch(1, run, job)
    subprocess.run(["scancel", job], check=True)
    assert ended(job) == {"CANCELLED"}
    assert run.last_checkpoint.is_file()
    again = submit_run(run.name, requeues)
    assert ended(again) == {"COMPLETED"}, output(again)
    assert_same_record(run, uninterrupted)


@pytest.mark.slow
def test_a_job_array_is_compared_when_it_has_ended(cluster: Path) -> None:
    flags = ["--arch", "mlp", "--seeds", "2", "--epochs", "1", "--name", "array", *FEW_BATCHES]
    job = submit(SCRIPTS / "compare.sbatch", *flags, options=("--array=0-1",))
    assert ended(job) == {"COMPLETED"}, output(job)
    assert "| 2 of 2 |" in wait_for_report("array")


@pytest.mark.slow
def test_the_tasks_of_an_array_search_together(cluster: Path) -> None:
    flags = ["--arch", "mlp", "--space", "lr=1e-4..1e-1:log", "--trials", "6", "--epochs", "1", "--name", "searched"]
    flags += ["--data.val_size", "500", *FEW_BATCHES, "--confirm", "1", "--seeds", "1"]
    job = submit(SCRIPTS / "search.sbatch", *flags, options=("--array=0-1",))
    assert ended(job) == {"COMPLETED"}, output(job)
    events = [json.loads(line) for line in (LOGS / "searched" / "journal.log").read_text().splitlines()]
    begun = [event for event in events if event["op_code"] == CREATE_TRIAL]
    assert sorted(event["trial_id"] for event in events if event["op_code"] == END_TRIAL) == list(range(6))
    assert (len(begun), len({event["worker_id"] for event in begun})) == (6, 2)
    assert "## The best settings with fresh seeds" in (LOGS / "searched" / "search.md").read_text()


@pytest.mark.slow
def test_a_search_whose_time_is_up_is_requeued_and_goes_on(cluster: Path) -> None:
    flags = ["--arch", "mlp", "--space", "lr=1e-4..1e-1:log", "--trials", "3", "--epochs", "2", "--name", "late"]
    flags += ["--data.val_size", "500", "--trainer.limit_train_batches", "400", "--trainer.limit_val_batches", "2"]
    flags += ["--confirm", "0"]
    job = submit(SCRIPTS / "search.sbatch", *flags, options=("--array=0",))
    wait_for_epoch(1, RunDirectory("late/trial_0"), job)
    subprocess.run(["scancel", "--signal=USR1", job], check=True)
    start_again(job)
    assert ended(job) == {"COMPLETED"}, output(job)
    assert "search.py: stopped: the same command carries on" in output(job)
    events = [json.loads(line) for line in (LOGS / "late" / "journal.log").read_text().splitlines()]
    assert [event["op_code"] for event in events].count(CREATE_TRIAL) == 3
    assert (LOGS / "late" / "search.md").is_file()


@pytest.mark.slow
def test_trials_of_an_array_may_have_several_nodes(cluster: Path) -> None:
    flags = [*COMMON, "--arch", "batchnorm", "--seeds", "2", "--epochs", "1", "--trainer.precision", "64-true"]
    flags += ["--trainer.limit_train_batches", "20", "--trainer.limit_val_batches", "2"]
    together = ["--trainer.strategy", "ddp", "--trainer.devices", "1", "--trainer.num_nodes", "2"]
    layout = ("--array=0-1", "--nodes=2", "--ntasks-per-node=1")
    job = submit(SCRIPTS / "compare.sbatch", *flags, *together, "--name", "nodes", options=layout)
    assert ended(job) == {"COMPLETED"}, output(job)
    subprocess.run([quick_python(), "scripts/compare.py", *flags, "--name", "one"], stdout=DEVNULL, check=True)
    (one,), (two,) = ([*(LOGS / name / "batchnorm").iterdir()] for name in ("one", "nodes"))
    for seed in ("seed_0", "seed_1"):
        several = RunDirectory(str((two / seed).relative_to(LOGS)))
        expected = weights(one / seed)
        torch.testing.assert_close(weights(several.path), expected, rtol=1e-9, atol=1e-12)
        assert several.read_result().provenance.processes == 2
    wait_for_report("nodes")


@pytest.mark.slow
def test_within_a_job_a_comparison_starts_the_processes_of_its_trials(cluster: Path) -> None:
    flags = [*COMMON, "--arch", "mlp", "--seeds", "2", "--jobs", "2", "--epochs", "1", "--name", "within"]
    flags += [*FEW_BATCHES, "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    job = submit_text(cluster, f"exec srun python scripts/compare.py {' '.join(flags)}", "--cpus-per-task=4")
    assert ended(job) == {"COMPLETED"}, output(job)
    assert "| 2 of 2 |" in (LOGS / "within" / "comparison.md").read_text()


@pytest.mark.slow
def test_srun_may_start_torchrun(cluster: Path) -> None:
    flags = [*COMMON, "--arch", "mlp", "--epochs", "1", *FEW_BATCHES, "--name", "torchrun"]
    torchrun = "torchrun --nnodes 2 --nproc_per_node 1 --rdzv_backend c10d --rdzv_endpoint"
    together = "--trainer.devices 1 --trainer.num_nodes 2"
    command = f"exec srun {torchrun} 127.0.0.1:{find_free_network_port()} scripts/fit.py {' '.join(flags)} {together}"
    job = submit_text(cluster, command, "--nodes=2", "--ntasks-per-node=1")
    assert ended(job) == {"COMPLETED"}, output(job)
    assert RunDirectory("torchrun").read_result().provenance.processes == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "layout", "message"),
    [
        ("exec python scripts/fit.py", ("--ntasks=2",), "started without srun"),
        ("exec srun python scripts/fit.py --trainer.devices 1", ("--ntasks=2",), "srun started 2 tasks, but"),
        (
            "exec srun python scripts/fit.py --trainer.devices 2 --trainer.strategy ddp",
            ("--nodes=2", "--ntasks-per-node=2"),
            "srun started 4 tasks, but --trainer.devices 2 and --trainer.num_nodes 1 make 2: "
            "write --trainer.num_nodes 2",
        ),
        (
            "exec srun python scripts/compare.py",
            ("--nodes=2", "--ntasks-per-node=1"),
            "srun is for the processes of one trial: write --trial NUMBER, or leave srun out",
        ),
        (
            "exec srun python scripts/compare.py --trial 0",
            ("--nodes=2", "--ntasks-per-node=1"),
            "srun started 2 tasks: write --trainer.devices 1 --trainer.num_nodes 2",
        ),
    ],
)
def test_a_wrong_layout_ends_in_a_clear_line(
    cluster: Path, command: str, layout: tuple[str, ...], message: str
) -> None:
    job = submit_text(cluster, f"{command} --arch mlp --trainer.accelerator cpu --name wrong", *layout)
    assert ended(job) == {"FAILED"}
    assert message in output(job)
    assert "Traceback" not in output(job)
    assert not RunDirectory("wrong").exists()


@pytest.mark.slow
def test_a_signal_before_python_can_note_it_does_not_look_like_success(cluster: Path) -> None:
    job = submit_text(cluster, f"kill -{int(signal.SIGUSR1)} $$; exec srun python scripts/fit.py --arch mlp")
    assert ended(job) == {"FAILED"}


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_task_that_is_killed_is_named_by_those_left(
    cluster: Path, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cluster / "mortal.py").write_text(MORTAL)
    monkeypatch.setenv("FATES", f"kill:{rank}:60")  # which sbatch hands on
    flags = [*COMMON, "--arch", "mortal.Mortal", "--epochs", "2", "--trainer.limit_train_batches", "100"]
    layout = ("--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1")
    job = submit(SCRIPTS / "fit.sbatch", *flags, "--name", f"lost{rank}", options=layout)
    assert ended(job) == {"FAILED"}
    assert seconds_since("kill", cluster) < 10
    said = [line for line in output(job).splitlines() if line.startswith("fit.py:")]
    assert said == [f"fit.py: process {rank} on node{rank + 1} was lost after step 59: carry on with --resume"]
    assert "Traceback" not in output(job)

"""The job scripts of one run, on a real Slurm of two nodes on this machine."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import gettempdir

import pytest
from filelock import FileLock

from convblocks.data.images import ImageSets
from convblocks.new.command import TEMPLATE
from convblocks.record.directory import RunDirectory
from tests.conftest import REPOSITORY, lack, write_digits
from tests.core.run.several import COMMON, Run, fit_on, on
from tests.core.run.test_fit import assert_same_end
from tests.quick_python import environment_of

pytestmark = pytest.mark.slow

FIT = str(REPOSITORY / "scripts" / "slurm" / "fit.sbatch")
# Of a project that `convblocks new` makes.
PROJECT = str(TEMPLATE / "job.sbatch")
CLUSTER = REPOSITORY / "tests" / "cluster" / "slurm"

SHORT = [*COMMON, "--data.root", "digits", "--epochs", "1"]
MLP = [*SHORT, "--arch", "mlp", "--trainer.limit_train_batches", "20"]

# Long enough to be stopped.
LONG = [*COMMON, "--arch", "mlp", "--epochs", "4", "--trainer.limit_train_batches", "500"]
LONG += ["--trainer.limit_val_batches", "2"]

TWO_TASKS = ["--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, digits: ImageSets) -> Iterator[Path]:
    """A folder to submit from, with the scripts and a few digits in it, while a cluster is up."""
    if shutil.which("slurmctld") is None or os.geteuid() != 0:
        lack("root and Slurm: apt-get install slurmctld slurmd slurm-client")
    state = tmp_path_factory.mktemp("slurm")
    folder = tmp_path_factory.mktemp("submitted")
    (folder / "scripts").symlink_to(REPOSITORY / "scripts")
    (folder / "config.yaml").write_text("threads: 1\n")
    write_digits(folder / "digits", digits, train=50 * 64, test=200)
    # Its ports are the same in every checkout, and the sockets by which its commands
    # prove who they are always.
    with (
        FileLock(Path(gettempdir()) / "slurm-of-tests.lock"),
        pytest.MonkeyPatch.context() as patch,
    ):
        subprocess.run([CLUSTER / "up.sh", state], check=True)
        for name, value in environment_of(SLURM_CONF=str(state / "slurm.conf")).items():
            patch.setenv(name, value)  # which sbatch hands on
        patch.chdir(folder)
        yield folder
        subprocess.run([CLUSTER / "down.sh", state], check=False)


def submit(*command: str) -> str:
    """Submit a job script of the project, or with --wrap a command, and return the job's number."""
    launch = ["sbatch", "--parsable", *command]
    return subprocess.run(launch, capture_output=True, text=True, check=True).stdout.strip()


def output(job: str) -> str:
    return "\n".join(path.read_text() for path in sorted(Path().glob(f"slurm-{job}*.out")))


def wait_for(is_there: Callable[[], object], job: str) -> None:
    deadline = time.monotonic() + 180
    while not is_there():
        assert time.monotonic() < deadline, output(job)
        time.sleep(0.2)


def states(job: str) -> set[str]:
    """Those of the job, or of all jobs of an array."""
    shown = subprocess.run(
        ["scontrol", "show", "job", job], capture_output=True, text=True, check=False
    ).stdout
    return set(re.findall(r"JobState=(\w+)", shown))


def end_of(job: str) -> str:
    wait_for(lambda: states(job) and states(job) <= {"COMPLETED", "FAILED", "CANCELLED"}, job)
    return " and ".join(states(job))


def assert_completes(job: str) -> None:
    assert end_of(job) == "COMPLETED", output(job)


def requeue(job: str) -> None:
    """Send what Slurm sends when the time is nearly up, and skip the two minutes for
    which it holds a requeued job.
    """
    subprocess.run(["scancel", "--signal=USR1", job], check=True)
    wait_for(lambda: states(job) == {"PENDING"}, job)
    time.sleep(3)  # earlier, it would be killed
    subprocess.run(["scontrol", "update", f"jobid={job}", "StartTime=now"], check=True)


def test_job_without_srun_is_refused(cluster: Path) -> None:
    job = submit(*TWO_TASKS, "--wrap", f"python scripts/fit.py {' '.join(MLP)}")
    assert end_of(job) == "FAILED"
    assert (
        "this job has 2 tasks, but python was started without srun: put srun before it"
        in output(job)
    )


@pytest.mark.parametrize("script", [FIT, PROJECT], ids=["fit", "project"])
def test_job_scripts_ask_for_one_process_and_take_more(cluster: Path, script: str) -> None:
    flags = [*MLP, "--name", f"{Path(script).stem}/alone"]
    assert_completes(submit("--cpus-per-task=1", script, *flags))
    longer = submit(*TWO_TASKS, script, *flags, "--epochs", "2")
    assert_completes(longer)
    assert "the number of processes has changed" in output(longer)


def test_requeued_job_carries_on_with_one_unbroken_curve(cluster: Path) -> None:
    run = RunDirectory("requeued")
    job = submit(*TWO_TASKS, FIT, *LONG, "--name", run.name)
    wait_for(run.metrics.is_file, job)
    requeue(job)
    assert_completes(job)
    assert output(job).count("continue with --name requeued --resume") == 1
    fit_on(2, Run([*LONG, *on(2), "--name", "uninterrupted"]))
    assert_same_end(run, RunDirectory("uninterrupted"))

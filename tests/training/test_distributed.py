"""The same numbers on 1, 2, 3 and 4 processes."""

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from convblocks.data.images import ImageSets
from convblocks.runs.directory import LOGS
from convblocks.training import fit
from tests.conftest import DEBUG, REPOSITORY, write_digits
from tests.quick_python import quick_python, run_quickly
from tests.training import distributed_worker

pytestmark = pytest.mark.slow

FIT = str(REPOSITORY / "scripts" / "fit.py")
TORCHRUN = ["-m", "torch.distributed.run"]

Weights = dict[str, torch.Tensor]
Folders = Callable[[str, int], Path]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory, digits: ImageSets) -> Folders:
    """Train every case with every number of processes, once; returns a function that finds a run directory."""
    folder = tmp_path_factory.mktemp("distributed")
    write_digits(folder / "digits", digits, distributed_worker.TRAIN_IMAGES, distributed_worker.TEST_IMAGES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        distributed_worker.run_all(1)
        for processes in (2, 3, 4):
            torchrun(processes, "-m", "tests.training.distributed_worker")
    return lambda case, processes: folder / LOGS / distributed_worker.run_name(case, processes)


def torchrun(processes: int, *command: str, python: str | Path | None = None) -> str:
    """Run a command in each of so many processes, quick ones by default; returns their output."""
    launch = [python or quick_python(), *TORCHRUN, "--standalone", f"--nproc_per_node={processes}"]
    finished = subprocess.run([*launch, *command], capture_output=True, text=True, timeout=600, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stdout


def weights(folder: Path) -> Weights:
    state: Weights = torch.load(folder / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)[
        "state_dict"
    ]
    return {name: value for name, value in state.items() if name.startswith("network.")}


def metrics(folder: Path) -> dict[str, float]:
    """The last epoch's losses and accuracies."""
    with (folder / "metrics.csv").open() as file:
        *_, last = csv.DictReader(file)
    return {name: float(value) for name, value in last.items() if "/" in name}


def assert_close(one: Weights, other: Weights, tolerance: float) -> None:
    """Every tensor agrees to a tolerance relative to its largest element."""
    assert one.keys() == other.keys()
    for name, expected in one.items():
        scale = expected.abs().max().clamp(min=1e-12)
        assert float((other[name] - expected).abs().max() / scale) <= tolerance, name


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("case", ["mlp", "maxpool", "batchnorm", "augmented"])
def test_200_steps_in_float64_give_the_same_weights_and_loss(folder_of: Folders, case: str, processes: int) -> None:
    one, several = folder_of(f"long-{case}", 1), folder_of(f"long-{case}", processes)
    assert_close(weights(one), weights(several), tolerance=1e-9)
    assert metrics(several) == pytest.approx(metrics(one), rel=1e-9)


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("arch", ["mlp", "maxpool", "batchnorm"])
def test_one_step_in_float32_moves_the_weights_equally(folder_of: Folders, arch: str, processes: int) -> None:
    """Compared with one process in float64: in float32 torch's own batch norm, channels last on CPU, is less exact."""
    exact = {name: value.float() for name, value in weights(folder_of(f"exact-{arch}", 1)).items()}
    assert_close(exact, weights(folder_of(f"gradient-{arch}", processes)), tolerance=1e-5)


@pytest.mark.parametrize("arch", ["mlp", "maxpool"])
def test_one_process_in_float32_is_as_exact(folder_of: Folders, arch: str) -> None:
    exact = {name: value.float() for name, value in weights(folder_of(f"exact-{arch}", 1)).items()}
    assert_close(exact, weights(folder_of(f"gradient-{arch}", 1)), tolerance=1e-5)


@pytest.mark.parametrize("processes", [2, 4])
def test_a_process_without_images_takes_part(folder_of: Folders, processes: int) -> None:
    one, several = folder_of("empty-share", 1), folder_of("empty-share", processes)
    assert_close(weights(one), weights(several), tolerance=1e-9)
    assert metrics(several) == pytest.approx(metrics(one), rel=1e-9)


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_every_test_image_counts_once(folder_of: Folders, processes: int) -> None:
    one, several = metrics(folder_of("counts", 1)), metrics(folder_of("counts", processes))
    assert (several["test/acc"] * 10_000) % 1 == 0
    assert several["test/acc"] == one["test/acc"]
    assert several["test/loss"] == pytest.approx(one["test/loss"], rel=1e-9)


def test_two_nodes_of_torchrun_equal_one_process(workspace: Path) -> None:
    """Two agents of torchrun, as on two machines, with two processes each."""
    flags = [*distributed_worker.COMMON, "--arch", "batchnorm", "--trainer.precision", "64-true"]
    flags += ["--trainer.limit_train_batches", "50", "--trainer.limit_val_batches", "2"]
    fit.main([*flags, "--name", "one"])
    launch = [str(quick_python()), *TORCHRUN, "--nnodes=2", "--nproc_per_node=2"]
    launch += ["--master_addr=127.0.0.1", f"--master_port={find_free_network_port()}"]
    script = [FIT, *flags, "--name", "four"]
    script += ["--trainer.strategy", "ddp", "--trainer.devices", "2", "--trainer.num_nodes", "2"]
    nodes = [subprocess.Popen([*launch, f"--node_rank={node}", *script]) for node in (0, 1)]
    assert [node.wait(timeout=300) for node in nodes] == [0, 0]
    assert_close(weights(LOGS / "one"), weights(LOGS / "four"), tolerance=1e-9)
    assert metrics(LOGS / "four") == pytest.approx(metrics(LOGS / "one"), rel=1e-9)


def test_processes_of_torchrun_do_not_each_train_alone(workspace: Path) -> None:
    launch = [*TORCHRUN, "--standalone", "--nproc_per_node=2"]
    finished = run_quickly(*launch, FIT, *distributed_worker.COMMON, "--arch", "mlp", cwd=workspace)
    assert finished.stderr.count("fit.py: torchrun started 2 processes: write --trainer.devices 2\n") == 1
    assert list(workspace.iterdir()) == []


def test_only_one_process_prints(folder_of: Folders, tmp_path: Path) -> None:
    flags = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu", "--threads", "1"]
    finished = run_quickly(FIT, *DEBUG, *flags, "--arch", "batchnorm", cwd=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.count("\n1/2 ") == 1
    assert [path.name for path in (tmp_path / LOGS / "batchnorm").iterdir()] == ["version_0"]


def test_the_process_group_is_closed_before_python_ends(workspace: Path) -> None:
    """Otherwise its threads sometimes abort the process; quick Pythons are not affected."""
    script = workspace / "run.py"
    script.write_text(
        "import atexit, sys\n"
        "from torch import distributed\n"
        "from convblocks.training import fit\n"
        "atexit.register(lambda: print(f'in a group: {distributed.is_initialized()}'))\n"  # runs after fit's
        "fit.main(sys.argv[1:])\n"
    )
    flags = [*distributed_worker.COMMON, *distributed_worker.GRADIENT, "--trainer.devices", "2"]
    flags += ["--arch", "mlp", "--trainer.strategy", "ddp"]
    printed = torchrun(2, str(script), *flags, python=sys.executable)
    assert printed.count("in a group: False") == 2


def test_a_batch_that_does_not_divide_is_refused(tmp_path: Path) -> None:
    flags = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"]
    finished = run_quickly(FIT, *DEBUG, *flags, "--arch", "mlp", "--batch_size", "63", cwd=tmp_path)
    assert finished.returncode == 2
    assert "--batch_size 63 cannot be shared between 2 processes equally" in finished.stderr
    assert "Traceback" not in finished.stderr

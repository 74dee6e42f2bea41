"""The same numbers on 1, 2 and 4 processes."""

import csv
import subprocess
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from convblocks.data.images import ImageSets
from convblocks.run.directory import LOGS
from tests.conftest import DEBUG, REPOSITORY, write_digits
from tests.core.run.several import COMMON, TORCHRUN, Run, fit_on, on
from tests.quick_python import environment_of, quick_python, run_quickly

pytestmark = pytest.mark.slow

FIT = str(REPOSITORY / "scripts" / "fit.py")

Weights = dict[str, torch.Tensor]

NIGHTLY = pytest.mark.nightly

FLOAT64 = ["--trainer.precision", "64-true"]
FEW_IMAGES = ["--data.root", "digits", "--trainer.logger", "false"]
TRAIN_IMAGES, TEST_IMAGES = 1600, 200

LONG = [*FLOAT64, "--batch_size", "8", "--trainer.limit_train_batches", "200"]
AUGMENTED = ["--data.shift", "2", "--data.rotation", "10", "--data.scale", "0.1"]

CASES = {
    # 10,000 test images in batches of 999: neither they nor the shares of them divide.
    "mlp": ["--arch", "mlp", *LONG, *AUGMENTED, "--data.eval_batch_size", "999", "--trainer.logger", "false"],
    "maxpool": ["--arch", "maxpool", *LONG, *FEW_IMAGES],
    # A batch of 7 images does not divide either.
    "batchnorm": ["--arch", "batchnorm", *LONG, "--batch_size", "7", *FEW_IMAGES],
    # 193 training images: the last of four batches holds one image, and most processes' share of it is empty.
    "empty_shares": ["--arch", "batchnorm", *FLOAT64, "--data.val_size", str(TRAIN_IMAGES - 193), *FEW_IMAGES],
}

# One step of plain gradient descent with learning rate 1: the weights move by the gradient itself.
GRADIENT = ["--optimizer", "sgd", "--lr", "1", "--trainer.limit_train_batches", "1", *FEW_IMAGES]


@pytest.fixture
def folder(workspace: Path, digits: ImageSets) -> Path:
    """A current folder with a few digits."""
    write_digits(workspace / "digits", digits, TRAIN_IMAGES, TEST_IMAGES)
    return workspace


def train(processes: int, *flags: str, name: str = "") -> Path:
    """Train for one epoch; returns the run's directory."""
    name = name or f"on_{processes}"
    fit_on(processes, Run(["--epochs", "1", *COMMON, *flags, *on(processes), "--name", name]))
    return LOGS / name


def weights(folder: Path) -> Weights:
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    return {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("network.")}


def metrics(folder: Path) -> dict[str, float]:
    """The last epoch's losses and accuracies."""
    with (folder / "metrics.csv").open() as file:
        *_, last = csv.DictReader(file)
    return {name: float(value) for name, value in last.items() if "/" in name}


def assert_close(first: Weights, second: Weights, tolerance: float) -> None:
    """Every tensor agrees to a tolerance relative to its largest element."""
    assert first.keys() == second.keys()
    for name, expected in first.items():
        scale = expected.abs().max().clamp(min=1e-12)
        assert float((second[name] - expected).abs().max() / scale) <= tolerance, name


def assert_same_numbers(first: Path, second: Path) -> None:
    assert_close(weights(first), weights(second), tolerance=1e-9)
    assert metrics(second) == pytest.approx(metrics(first), rel=1e-9)


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=NIGHTLY)])
@pytest.mark.parametrize("case", ["mlp", pytest.param("maxpool", marks=NIGHTLY), "batchnorm", "empty_shares"])
def test_processes_have_the_weights_and_metrics_of_one_in_float64(folder: Path, case: str, processes: int) -> None:
    assert_same_numbers(train(1, *CASES[case]), train(processes, *CASES[case]))


@pytest.mark.parametrize(
    ("arch", "processes"),
    [
        ("batchnorm", 2),
        *[pytest.param("mlp", processes, marks=NIGHTLY) for processes in (1, 2, 4)],
        *[pytest.param("maxpool", processes, marks=NIGHTLY) for processes in (1, 2)],
        pytest.param("batchnorm", 4, marks=NIGHTLY),
    ],
)
def test_processes_move_the_weights_as_one_in_a_step_in_float32(folder: Path, arch: str, processes: int) -> None:
    """Compared with one process in float64: in float32 torch's own batch norm, channels last on CPU, is less exact."""
    flags = ["--arch", arch, *GRADIENT]
    exact = {name: value.float() for name, value in weights(train(1, *flags, *FLOAT64, name="exact")).items()}
    assert_close(exact, weights(train(processes, *flags)), tolerance=1e-5)


def test_processes_on_two_nodes_of_torchrun_equal_one(folder: Path) -> None:
    """Two agents of torchrun, as on two machines, with two processes each."""
    flags = ["--arch", "batchnorm", *FLOAT64, *FEW_IMAGES]
    launch = [str(quick_python()), *TORCHRUN, "--nnodes=2", "--nproc_per_node=2"]
    launch += ["--master_addr=127.0.0.1", f"--master_port={find_free_network_port()}"]
    script = [FIT, "--epochs", "1", *COMMON, *flags, "--name", "four", *on(2), "--trainer.num_nodes", "2"]
    nodes = [subprocess.Popen([*launch, f"--node_rank={node}", *script], env=environment_of()) for node in (0, 1)]
    assert [node.wait(timeout=300) for node in nodes] == [0, 0]
    assert_same_numbers(train(1, *flags), LOGS / "four")


def test_processes_of_torchrun_do_not_each_train_alone(workspace: Path) -> None:
    launch = [*TORCHRUN, "--standalone", "--nproc_per_node=2"]
    finished = run_quickly(*launch, FIT, *COMMON, "--arch", "mlp", cwd=workspace)
    assert finished.stderr.count("fit.py: torchrun started 2 workers, but --trainer.devices is auto") == 1
    assert list(workspace.iterdir()) == []


def test_processes_print_once(tmp_path: Path) -> None:
    finished = run_quickly(FIT, *DEBUG, *COMMON, *on(2), "--arch", "mlp", cwd=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.count("\n1/2 ") == 1
    assert [path.name for path in (tmp_path / LOGS / "mlp").iterdir()] == ["version_0"]

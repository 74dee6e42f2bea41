"""On a GPU: the numbers of a CPU, no waiting within an epoch, and a kill that changes nothing."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from convblocks.model.names import RECORDS
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from tests.conftest import REPOSITORY
from tests.core.run.test_distributed import assert_same_numbers
from tests.core.run.test_fit import assert_same_weights, metric_rows
from tests.scripts import run_script

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]

ARCHS = [*RECORDS]
ONE_GPU = ["--trainer.accelerator", "gpu", "--trainer.devices", "1"]
CPU = ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--threads", "1"]

# Without augmentation: it interpolates in float32 and rounds to whole grey values, and
# rounding may differ by device.
FLOAT64 = [
    *["--epochs", "1", "--trainer.precision", "64-true"],
    *["--trainer.limit_train_batches", "40", "--trainer.limit_val_batches", "2"],
]


def trained(folder: Path, name: str, *flags: str) -> RunDirectory:
    """A run that ``fit.py`` has finished."""
    finished = run_script("fit", *flags, "--name", name, cwd=folder, timeout=600, fresh=True)
    assert finished.returncode == 0, finished.stderr
    return RunDirectory(name, folder)


@pytest.mark.parametrize("arch", ARCHS)
def test_40_steps_in_float64_give_the_numbers_of_a_cpu(tmp_path: Path, arch: str) -> None:
    flags = ["--arch", arch, *FLOAT64]
    assert_same_numbers(
        trained(tmp_path, "cpu", *flags, *CPU), trained(tmp_path, "gpu", *flags, *ONE_GPU)
    )


class SyncsAreErrors(Callback):
    """Makes an error of whatever waits for the GPU from one inner step to another, the
    fetching of batches included.

    No step between them is written: the Trainer writes the 50th.
    """

    FIRST, LAST = 5, 45
    is_over = False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == self.FIRST:
            torch.cuda.set_sync_debug_mode("error")
        elif batch_idx == self.LAST:
            torch.cuda.set_sync_debug_mode("default")
            SyncsAreErrors.is_over = True


@pytest.fixture
def sync_debug_mode() -> Iterator[None]:
    """Put back as it was, whatever the test does."""
    SyncsAreErrors.is_over = False
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
@pytest.mark.usefixtures("sync_debug_mode", "workspace")
@pytest.mark.parametrize("arch", ARCHS)
def test_no_step_waits_for_the_gpu_unless_it_is_written(arch: str) -> None:
    callback = f"--trainer.callbacks={__name__}.{SyncsAreErrors.__name__}"
    limits = [
        "--epochs",
        "1",
        "--trainer.limit_train_batches",
        "50",
        "--trainer.limit_val_batches",
        "1",
    ]
    augmentation = ["--data.shift", "2", "--data.rotation", "10", "--data.scale", "0.1"]
    fit.main(["--arch", arch, *limits, *ONE_GPU, *augmentation, callback, "--name", "run"])
    assert SyncsAreErrors.is_over


def test_resume_of_a_killed_run_ends_with_the_same_bits(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in the middle of the second of two epochs; with kernels that compute the
    same each time.
    """
    # Torch asks for it before it computes the first product.
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    limits = [
        "--epochs",
        "2",
        "--trainer.limit_train_batches",
        "400",
        "--trainer.limit_val_batches",
        "2",
    ]
    flags = ["--arch", "batchnorm", *limits, *ONE_GPU, "--trainer.deterministic", "true"]
    whole = trained(workspace, "whole", *flags)
    command = [sys.executable, str(REPOSITORY / "scripts" / "fit.py"), *flags, "--name", "stopped"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for printed in process.stdout:
            if printed.startswith("epoch 2  batch 100/400"):
                process.terminate()
    assert process.returncode == 143
    stopped = trained(workspace, "stopped", "--resume")
    assert_same_weights(whole, stopped)
    assert metric_rows(whole) == metric_rows(stopped)

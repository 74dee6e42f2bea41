"""No bit of a result depends on whether the speed-ups are on."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback

from convblocks.data.mnist import DEFAULT_ROOT
from convblocks.data.module import ImageDataModule, MNISTDataModule
from convblocks.fast.callback import Fast
from convblocks.fast.lightning import FastClassifier
from convblocks.fast.step import FastOptimization
from convblocks.model.names import RECORDS
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from convblocks.run.make import make_run
from convblocks.settings.config import Config
from exact_resume.training import callbacks_of
from lab.benchmarks.processes.measure import recorded
from lab.benchmarks.training.ways import Case
from tests.conftest import DEBUG
from tests.core.run.several import COMMON, Run, fit_on, on
from tests.core.run.test_fit import QUICK, assert_same_weights, metric_rows, quick_run

WAYS = {"fast": [], "slow": ["--fast", "false"]}
ACCUMULATED = ["--trainer.accumulate_grad_batches", "2", "--trainer.gradient_clip_val", "0.5"]
HELD_OUT = ["--data.val_size", "2000", "--lr_scheduler", "onecycle"]


def assert_same_runs() -> None:
    """Compare the runs "fast" and "slow" in weights, optimizer, counts, metrics and results."""
    fast, slow = RunDirectory("fast"), RunDirectory("slow")
    assert_same_weights(fast, slow)
    checkpoints = [torch.load(run.last_checkpoint, weights_only=True) for run in (fast, slow)]
    for part in ("optimizer_states", "loops"):
        torch.testing.assert_close(
            *(checkpoint[part] for checkpoint in checkpoints), rtol=0, atol=0
        )
    assert metric_rows(fast) == metric_rows(slow)
    assert fast.read_result().final == slow.read_result().final
    assert fast.read_result().facts == slow.read_result().facts
    assert fast.read_config() == slow.read_config()  # it is no setting


@pytest.mark.parametrize(
    "flags",
    [
        ["--arch", "mlp"],
        ["--arch", "mlp", "--optimizer", "sgd"],
        ["--arch", "mlp", *ACCUMULATED],
        pytest.param(
            ["--arch", "maxpool", "--trainer.precision", "bf16-mixed"], marks=pytest.mark.slow
        ),
        pytest.param(["--arch", "maxpool"], marks=pytest.mark.slow),
        ["--arch", "batchnorm"],
        pytest.param(["--arch", "maxpool", *HELD_OUT], marks=pytest.mark.slow),
        pytest.param(
            ["--arch", "batchnorm", *ACCUMULATED, "--data.shift", "2"], marks=pytest.mark.slow
        ),
    ],
    ids=lambda flags: " ".join(flags[1:4:2]),
)
def test_fast_run_ends_with_the_same_bits(workspace: Path, flags: list[str]) -> None:
    losses: dict[str, list[float]] = {name: [] for name in WAYS}
    for name, more in WAYS.items():
        watch = LambdaCallback(
            on_train_batch_end=lambda *args, seen=losses[name]: seen.append(args[2]["loss"].item())
        )
        fit.main(
            [*DEBUG, *QUICK, *flags, *more, "--trainer.log_every_n_steps", "1", "--name", name],
            [watch],
        )
    assert_same_runs()
    assert losses["fast"] == losses["slow"]


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["maxpool", "batchnorm"])
def test_fast_run_of_two_processes_ends_with_the_same_bits(workspace: Path, arch: str) -> None:
    flags = [*COMMON, "--arch", arch, "--epochs", "2", "--trainer.limit_train_batches", "20"]
    flags += ["--trainer.limit_val_batches", "2", *QUICK]
    for name, more in WAYS.items():
        fit_on(2, Run([*flags, *on(2), "--name", name, *more]))
    assert_same_runs()


@pytest.mark.slow
def test_fast_processes_send_gradients_and_statistics_only() -> None:
    """Of each step the gradients, two messages for each of three batch norms, and the
    metrics every 50 steps.

    DistributedDataParallel sends the gradients from C++, and is recorded there too. Not
    counted is what asks for signals, two float64 numbers: it is sent more often where a
    step takes long.
    """
    case = Case("fit", "batchnorm", steps=115, processes=2)
    _, *collectives = recorded(case)
    assert (
        7
        <= sum(
            message.values["per_step"] for message in collectives if message.labels["size"] != 16
        )
        <= 7.1
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("arch", RECORDS)
def test_fast_run_on_a_gpu_ends_with_the_same_bits(workspace: Path, arch: str) -> None:
    deterministic = ["--trainer.deterministic", "warn", "--trainer.accelerator", "gpu"]
    for name, more in WAYS.items():
        quick_run("--arch", arch, *deterministic, *more, name=name)
    assert_same_runs()


class Inverted(ImageDataModule):
    """Changes batches on their way, in a hook that the speed-ups would not call."""

    def on_after_batch_transfer(
        self, batch: tuple[torch.Tensor, torch.Tensor], dataloader_idx: int
    ) -> object:
        images, targets = batch
        return -images, targets


@pytest.mark.parametrize("data", [MNISTDataModule, Inverted])
def test_fast_classes_are_for_data_without_hooks(
    workspace: Path, data: type[ImageDataModule]
) -> None:
    flags = ["--arch", "mlp", *QUICK]
    assert callbacks_of(make_run(Config.parse([*flags, "--fast", "false"])).trainer, Fast) == []
    run = make_run(Config.parse(flags))
    (fast,) = callbacks_of(run.trainer, Fast)
    run.trainer.datamodule = data(str(DEFAULT_ROOT))  # type: ignore[attr-defined]  # as fit does
    fast.setup(run.trainer, run.module, "fit")
    is_fast = data is MNISTDataModule
    assert (type(run.module) is FastClassifier) == is_fast
    assert (
        type(run.trainer.fit_loop.epoch_loop.automatic_optimization) is FastOptimization
    ) == is_fast

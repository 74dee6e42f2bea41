"""No bit of a result depends on whether the speed-ups are on."""

from pathlib import Path

import pytest
import torch

from convblocks.data.mnist import DEFAULT_ROOT
from convblocks.data.module import ImageDataModule
from convblocks.fast.callback import Fast
from convblocks.fast.lightning import FastClassifier
from convblocks.run import fit
from convblocks.run.config import Config
from convblocks.run.directory import RunDirectory
from convblocks.run.resume import callbacks_of
from convblocks.run.run import Run as TrainingRun
from tests.core.run.several import COMMON, Run, fit_on, on
from tests.core.run.test_fit import QUICK, assert_same_weights, metric_rows, quick_run

ARCHS = ["mlp", "maxpool", "batchnorm"]
SETTINGS = {
    "plain": [],
    "validated": ["--data.val_size", "2000", "--lr_scheduler", "onecycle"],
    "moved": ["--data.shift", "2", "--data.rotation", "10"],
    "accumulated": ["--trainer.accumulate_grad_batches", "2", "--trainer.gradient_clip_val", "0.5"],
}


def assert_same_runs() -> None:
    """Compare the runs "fast" and "slow" in weights, optimizer, metrics and results."""
    fast, slow = RunDirectory("fast"), RunDirectory("slow")
    assert_same_weights(fast, slow)
    states = [torch.load(run.last_checkpoint, weights_only=True)["optimizer_states"][0] for run in (fast, slow)]
    for number, state in states[0]["state"].items():
        assert all(torch.equal(value, states[1]["state"][number][name]) for name, value in state.items())
    assert metric_rows(fast) == metric_rows(slow)
    assert fast.read_result().final == slow.read_result().final
    assert fast.read_result().facts == slow.read_result().facts
    assert fast.read_config() == slow.read_config()  # it is no setting


@pytest.mark.parametrize(
    ("arch", "setting"),
    [
        pytest.param(arch, setting, marks=[] if arch == "mlp" or setting == "plain" else pytest.mark.slow)
        for arch in ARCHS
        for setting in SETTINGS
    ],
)
def test_no_bit_depends_on_the_speed_ups(workspace: Path, arch: str, setting: str) -> None:
    for name, more in (("fast", []), ("slow", ["--fast", "false"])):
        quick_run("--arch", arch, *SETTINGS[setting], *more, name=name)
    assert_same_runs()


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["maxpool", "batchnorm"])
def test_in_two_processes_neither(workspace: Path, arch: str) -> None:
    flags = [*COMMON, "--arch", arch, "--epochs", "2", "--trainer.limit_train_batches", "20"]
    flags += ["--trainer.limit_val_batches", "2", *QUICK]
    for name, more in (("fast", []), ("slow", ["--fast", "false"])):
        fit_on(2, Run([*flags, *on(2), "--name", name, *more]))
    assert_same_runs()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("arch", ARCHS)
def test_on_a_gpu_neither(workspace: Path, arch: str) -> None:
    deterministic = ["--trainer.deterministic", "warn", "--trainer.accelerator", "gpu"]
    for name, more in (("fast", []), ("slow", ["--fast", "false"])):
        quick_run("--arch", arch, *deterministic, *more, name=name)
    assert_same_runs()


def test_a_run_is_resumed_without_the_speed_ups_that_it_began_with(workspace: Path) -> None:
    quick_run("--epochs", "4", "--fast", "false", name="slow")
    quick_run(name="fast")
    fit.main(["--name", "fast", "--resume", "--epochs", "4", "--fast", "false"])
    assert_same_weights(RunDirectory("fast"), RunDirectory("slow"))


def test_one_callback_holds_them_all(workspace: Path) -> None:
    flags = ["--arch", "mlp", "--epochs", "1", "--trainer.limit_train_batches", "3", *QUICK]
    run = TrainingRun(Config.parse([*flags, "--fast", "false"]))
    assert callbacks_of(run.trainer, Fast) == []
    run = TrainingRun(Config.parse(flags))
    (fast,) = callbacks_of(run.trainer, Fast)
    run.prepare()
    run.trainer.datamodule = run.data  # type: ignore[attr-defined]  # as fit does
    fast.setup(run.trainer, run.module, "fit")
    assert type(run.module) is FastClassifier


class Inverted(ImageDataModule):
    """Changes batches on their way, in a hook that the speed-ups would not call."""

    def on_after_batch_transfer(self, batch: tuple[torch.Tensor, torch.Tensor], dataloader_idx: int) -> object:
        images, targets = batch
        return -images, targets


def test_data_with_hooks_of_their_own_go_lightnings_way(workspace: Path) -> None:
    run = TrainingRun(Config.parse(["--arch", "mlp", *QUICK]))
    (fast,) = callbacks_of(run.trainer, Fast)
    run.trainer.datamodule = Inverted(str(DEFAULT_ROOT))  # type: ignore[attr-defined]  # as fit does
    fast.setup(run.trainer, run.module, "fit")
    assert type(run.module) is not FastClassifier

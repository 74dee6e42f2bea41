"""A user's own optimizers, schedules, networks, losses and data, by the commands that a user types."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from convblocks.errors import DataError, UsageError
from convblocks.model.classifier import ImageClassifier
from convblocks.model.restore import load_network
from convblocks.run import fit
from convblocks.run.config import Config
from convblocks.run.directory import RunDirectory
from convblocks.run.run import Run
from tests.conftest import DEBUG
from tests.core.run.test_fit import QUICK, TENSORBOARD, assert_same_weights, curves, metric_rows, quick_run
from tests.core.run.test_resume import fit_until

OWN_PARTS = """
import torch
from torch import nn
from convblocks import ImageSets, ImageSource, LabelledImages

class Noise(ImageSource):
    classes = ("lying", "standing", "none")

    def load(self):
        return ImageSets.of(self.draw(320), self.draw(30), self.classes)

    def draw(self, count):
        numbers = torch.Generator().manual_seed(count)
        images = torch.randint(256, (count, 3, 12, 20), generator=numbers, dtype=torch.uint8)
        return LabelledImages(images, torch.randint(3, (count,), generator=numbers))

class Mislabelled(Noise):
    classes = ("lying", "standing")

class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(10))

    def forward(self, logits, targets):
        return nn.functional.cross_entropy(logits, targets, self.weight, reduction="none")

class Squared(nn.Module):
    def __init__(self, power=2):
        super().__init__()
        self.power = power

    def forward(self, logits, targets):
        wanted = nn.functional.one_hot(targets, logits.shape[1])
        return ((logits.softmax(dim=1) - wanted).abs() ** self.power).sum(dim=1)

class Mean(Squared):
    def forward(self, logits, targets):
        return super().forward(logits, targets).mean()
"""

NOISE = ["--data.source", "own_parts.Noise"]


@pytest.fixture
def own_parts(workspace: Path) -> Iterator[None]:
    """A module of data and losses in the current folder."""
    (workspace / "own_parts.py").write_text(OWN_PARTS)
    sys.modules.pop("own_parts", None)
    yield
    sys.modules.pop("own_parts", None)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "adam"),
        (["--optimizer", "adamw"], "adamw"),
        (["--optimizer.weight_decay", "1e-3"], {"class_path": "adam", "init_args": {"weight_decay": 0.001}}),
        (["--optimizer.eps", "1", "--optimizer", "sgd"], {"class_path": "sgd", "init_args": {"eps": 1}}),
        (["--config", "optimizer: {class_path: sgd, init_args: {momentum: 0.5}}", "--optimizer", "adam"], "adam"),
        (["--config", "optimizer: sgd", "--optimizer.eps", "1e-3"], {"class_path": "sgd", "init_args": {"eps": 0.001}}),
        (
            ["--config", "optimizer: {class_path: SGD, init_args: {eps: 1, dampening: 0}}", "--optimizer.eps", "2"],
            {"class_path": "SGD", "init_args": {"eps": 2, "dampening": 0}},
        ),
    ],
)
def test_optimizer_is_given_with_arguments(workspace: Path, flags: list[str], expected: Any) -> None:
    assert Config.parse(["--arch", "mlp", *flags]).settings["model"]["init_args"]["optimizer"] == expected


PLATEAU = ["--lr_scheduler", "ReduceLROnPlateau", "--lr_scheduler.monitor", "train/loss"]
NEVER_BETTER = ["--lr_scheduler.patience", "0", "--lr_scheduler.threshold", "0.99", "--epochs", "3"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--lr_scheduler", "StepLR", "--lr_scheduler.step_size", "5", "--lr_scheduler.interval", "step"], 0.001),
        (["--lr_scheduler", "torch.optim.lr_scheduler.ExponentialLR", "--lr_scheduler.gamma", "0.5"], 0.005),
        ([*PLATEAU, *NEVER_BETTER], 0.001),
    ],
    ids=["steps", "epochs", "a metric"],
)
def test_schedule_of_any_class_goes_by_epochs_steps_or_a_metric(
    workspace: Path, flags: list[str], expected: float
) -> None:
    short = ["--trainer.limit_train_batches", "5", "--trainer.log_every_n_steps", "1"]
    rates = [value for _, value in curves(quick_run(*TENSORBOARD, *short, *flags))["train/lr"]]
    assert rates[:4] == pytest.approx(4 * [0.01])
    assert rates[-2] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--optimizer", "adma"], "unknown optimizer 'adma': choose one of adam, adamw, sgd, or a class"),
        (["--optimizer", "own_networks.Lion"], "own_networks.Lion is not a subclass of Optimizer"),
        (["--optimizer.momentum", "0.9"], r"Optimizer torch\.optim\.\S*Adam cannot be made .* 'momentum'"),
        (["--lr_scheduler.T_max", "7"], "a constant learning rate takes no arguments, but was given T_max"),
        (["--optimizer.lr", "0.1"], "--optimizer.lr is set with --lr"),
        (["--lr_scheduler", "fast"], "unknown lr_scheduler 'fast': choose one of constant, onecycle, cosine"),
        (["--lr_scheduler", "StepLR"], "LRScheduler torch.optim.lr_scheduler.StepLR cannot be made .* 'step_size'"),
        (["--arch", "own_networks.Nothing"], "own_networks has no class or function 'Nothing'"),
        (["--arch", ".Rows"], "'.Rows' is not the name of a class"),
        (["--arch", "nowhere.Rows"], "cannot import nowhere.Rows: No module named 'nowhere'"),
        (["--arch", "own_networks.Rows", "--network.depth", "3"], "own_networks.Rows cannot be made .* 'depth'"),
        (["--arch", "own_networks.SevenClasses"], r"returns \(2, 7\) for images \(2, .*, not logits \(2, 10\)"),
        (["--arch", "own_networks.Colours"], r"does not take images \(B, 1, 28, 28\): .* 3 channels"),
        (["--loss", "focal"], "unknown loss 'focal': choose one of cross_entropy, or a class"),
        (["--loss", "own_parts.Mean"], r"returns \(\) for 2 images, not \(2,\): one loss per image"),
        (["--loss", "own_parts.Learned"], "own_parts.Learned has trainable parameters, which"),
        (["--loss", "CrossEntropyLoss", "--loss.reduction", "mean"], "--loss.reduction cannot be set"),
        (["--data.source", "nowhere.Noise"], "--data.source: .*No module named 'nowhere'"),
        (["--data.source", "own_networks.Lion"], "--data.source: .*'own_networks.Lion' to be a subclass of .*Source"),
        (["--config", "loss: {class_path: os.system}"], "os.system is not a subclass of Module"),
        ([*NOISE, "--arch", "own_networks.Rows"], r"does not take images \(B, 3, 12, 20\)"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_class_that_cannot_be_used_is_one_line_before_anything_is_written(
    own_networks: Path, own_parts: None, flags: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Run(Config.parse(["--arch", "mlp", *flags]))
    assert "\n" not in str(caught.value)
    assert not Path("lightning_logs").exists()


def test_data_with_a_label_of_no_class_are_refused(own_parts: None) -> None:
    with pytest.raises(DataError, match=r"set.s labels must be \(\d+,\) int64, each in 0\.\.1"):
        Run(Config.parse(["--arch", "mlp", "--data.source", "own_parts.Mislabelled"]))


def test_network_and_optimizer_of_ones_own_are_kept_as_plain_values_that_repeat_the_run(own_networks: Path) -> None:
    optimizer = ["--optimizer", "torch.optim.RAdam", "--optimizer.weight_decay", "0.01"]
    run = quick_run("--arch", "own_networks.Rows", "--network.hidden", "24", *optimizer)
    expected = {
        "arch": "own_networks.Rows",
        "network": {"hidden": 24},
        "optimizer": {"class_path": "torch.optim.RAdam", "init_args": {"weight_decay": 0.01}},
    }
    hyper_parameters = torch.load(run.last_checkpoint, weights_only=True)["hyper_parameters"]
    for saved in (hyper_parameters, run.read_config()["model"]["init_args"]):
        assert {name: saved[name] for name in expected} == expected
    assert run.read_result().parameters == 3 * 24 * (28 + 24 + 2) + 10 * 25
    fit.main(["--config", str(run.config), "--name", "again"])
    assert_same_weights(run, RunDirectory("again"))


def checkpoint_with(**hyper_parameters: Any) -> Path:
    """A trained network's checkpoint with other hyper-parameters."""
    content = torch.load(quick_run().last_checkpoint, weights_only=True)
    content["hyper_parameters"] |= hyper_parameters
    torch.save(content, "other.ckpt")
    return Path("other.ckpt")


def test_checkpoint_calls_nothing_but_networks(workspace: Path) -> None:
    with pytest.raises(UsageError, match=r"os\.mkdir"):
        ImageClassifier.load_from_checkpoint(
            checkpoint_with(arch="os.mkdir", network={"path": "owned"}), weights_only=True
        )
    assert not Path("owned").exists()


def test_checkpoint_with_an_optimizer_that_is_not_there_still_predicts(workspace: Path) -> None:
    checkpoint = checkpoint_with(optimizer="gone.Lion")
    assert load_network(checkpoint).arch == "mlp"
    assert ImageClassifier.load_from_checkpoint(checkpoint, weights_only=True).hparams["optimizer"] == "gone.Lion"


def test_resume_with_data_and_a_loss_of_ones_own_ends_the_same(
    own_parts: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*NOISE, "--arch", "batchnorm", "--batch_size", "16", "--loss", "own_parts.Squared"]
    whole, stopped = quick_run(*flags, name="whole"), RunDirectory("stopped")
    assert capsys.readouterr().out.startswith("Noise: ")
    fit_until(27, [*DEBUG, *QUICK, *flags, "--name", "stopped"])
    fit.main(["--name", "stopped", "--resume"])
    assert_same_weights(whole, stopped)
    assert metric_rows(whole) == metric_rows(stopped)
    spec = torch.load(stopped.last_checkpoint, weights_only=True)["hyper_parameters"]["image_spec"]
    assert spec["classes"] == ["lying", "standing", "none"]

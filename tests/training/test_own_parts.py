"""A user's own optimizers, schedules, networks, losses and data, by the commands that a user types."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from convblocks.data.images import ImageSets
from convblocks.errors import DataError, UsageError, UserError
from convblocks.evaluation.trained import load_network
from convblocks.model.classifier import DigitClassifier
from convblocks.runs.directory import LOGS, RunDirectory
from convblocks.training import fit
from convblocks.training.config import Config
from convblocks.training.run import Run
from tests.conftest import DEBUG, OWN_NETWORKS, needs, write_digits
from tests.scripts import run_script
from tests.training.test_fit import QUICK, assert_same_weights, curves, metric_rows, train
from tests.training.test_resume import fit_until

RADAM = ["--optimizer", "torch.optim.RAdam", "--optimizer.weight_decay", "0.01"]
ROWS = ["--arch", "own_networks.Rows", "--network.hidden", "24"]

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


class Nothing(ImageSource):
    def load(self):
        return None


def function(root):
    return root


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


class Lion:
    pass
"""

NOISE = ["--data.source", "own_parts.Noise"]


@pytest.fixture
def own_parts(workspace: Path) -> Iterator[None]:
    """A module of data and losses in the current folder."""
    (workspace / "own_parts.py").write_text(OWN_PARTS)
    sys.modules.pop("own_parts", None)
    yield
    sys.modules.pop("own_parts", None)


def hyper_parameters(run: RunDirectory) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run.last_checkpoint, weights_only=True)
    return dict(content["hyper_parameters"])


def test_an_optimizer_of_any_class_is_kept_as_plain_values(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "run", *RADAM, *QUICK)
    run = RunDirectory("run")
    expected = {"class_path": "torch.optim.RAdam", "init_args": {"weight_decay": 0.01}}
    assert run.read_config()["optimizer"] == expected
    assert hyper_parameters(run)["optimizer"] == expected
    assert Config.parse(["--config", str(run.config)]).settings["optimizer"] == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "adam"),
        (["--optimizer", "adamw"], "adamw"),
        (["--optimizer", "RAdam"], "RAdam"),
        (["--optimizer.weight_decay", "1e-3"], {"class_path": "adam", "init_args": {"weight_decay": 0.001}}),
        (["--optimizer.eps", "1", "--optimizer", "sgd"], {"class_path": "sgd", "init_args": {"eps": 1}}),
        (
            ["--optimizer.class_path=torch.optim.SGD", "--optimizer.init_args.momentum=0.5"],
            {"class_path": "torch.optim.SGD", "init_args": {"momentum": 0.5}},
        ),
        (["--config", "optimizer: {class_path: sgd, init_args: {momentum: 0.5}}", "--optimizer", "adam"], "adam"),
        (
            ["--config", "optimizer: sgd", "--optimizer.momentum", "0.5"],
            {"class_path": "sgd", "init_args": {"momentum": 0.5}},
        ),
    ],
)
def test_an_optimizer_can_be_given_in_jsonargparses_ways(workspace: Path, flags: list[str], expected: Any) -> None:
    assert Config.parse(["--arch", "mlp", *flags]).settings["optimizer"] == expected


def learning_rates(flags: list[str]) -> list[float]:
    """The learning rate at each of two epochs' five steps."""
    short = ["--trainer.limit_train_batches", "5", "--trainer.log_every_n_steps", "1"]
    train("--arch", "mlp", "--name", "run", *short, *flags)
    return [value for _, value in curves(RunDirectory("run"))["train/lr"]]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--lr_scheduler", "torch.optim.lr_scheduler.StepLR", "--lr_scheduler.step_size", "1"], [0.01, 0.001]),
        (
            ["--lr_scheduler", "StepLR", "--lr_scheduler.step_size", "5", "--lr_scheduler.interval", "step"],
            [0.01, 0.001],
        ),
        (["--lr_scheduler", "ExponentialLR", "--lr_scheduler.gamma", "0.5"], [0.01, 0.005]),
    ],
)
def test_a_schedule_of_any_class_goes_by_epoch_or_by_step(
    workspace: Path, flags: list[str], expected: list[float]
) -> None:
    rates = learning_rates(flags)
    assert rates[0] == pytest.approx(expected[0])
    assert rates[-2] == pytest.approx(expected[1])


def test_a_schedule_can_go_by_a_metric(workspace: Path) -> None:
    plateau = ["--lr_scheduler", "ReduceLROnPlateau", "--lr_scheduler.monitor", "train/loss"]
    never_better = ["--lr_scheduler.patience", "0", "--lr_scheduler.threshold", "0.99"]
    rates = learning_rates([*plateau, *never_better, "--epochs", "3"])
    assert rates[0] == rates[8] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--optimizer", "adma"], "unknown optimizer 'adma': choose one of adam, adamw, sgd, or give a class"),
        (["--optimizer", "torch.optim.Nothing"], "torch.optim has no class or function 'Nothing'"),
        (["--optimizer", "nowhere.Lion"], "cannot import nowhere.Lion: there is no module nowhere, neither in"),
        (["--optimizer", "own_networks.Lion"], "the class own_networks.Lion is not a subclass of Optimizer"),
        (["--optimizer.momentum", "0.9"], "Optimizer torch.optim.Adam cannot be made .* 'momentum'"),
        (["--optimizer.weight_decay", "-1"], "Invalid weight_decay value: -1"),
        (["--optimizer.betas", "[0.9]"], "Optimizer torch.optim.Adam cannot be made"),
        (["--lr_scheduler.T_max", "7"], "a constant learning rate takes no arguments, but was given T_max"),
        (["--lr_scheduler", "onecycle", "--trainer.max_time", "00:00:01:00"], "needs --epochs or --trainer.max_steps"),
        (["--optimizer.lr", "0.1"], "--optimizer.lr is set with --lr"),
        (["--lr_scheduler", "fast"], "unknown lr_scheduler 'fast': choose one of constant, onecycle, cosine"),
        (["--lr_scheduler", "StepLR"], "LRScheduler torch.optim.lr_scheduler.StepLR cannot be made .* 'step_size'"),
        (["--lr_scheduler", "ReduceLROnPlateau"], "ReduceLROnPlateau needs --lr_scheduler.monitor"),
        (["--lr_scheduler", "StepLR", "--lr_scheduler.interval", "week"], "must be step or epoch, but is week"),
        (["--arch", "own_networks.Nothing"], "own_networks has no class or function 'Nothing'"),
        (["--arch", ".Rows"], "'.Rows' is not the name of a class"),
        (["--arch", "nowhere.Rows"], "cannot import nowhere.Rows: there is no module nowhere"),
        (["--arch", "own_networks.Rows", "--network.depth", "3"], "own_networks.Rows cannot be made .* 'depth'"),
        (["--arch", "own_networks.SevenClasses"], r"returns \(2, 7\) for images \(2, .*, not logits \(2, 10\)"),
        (["--arch", "own_networks.Colours"], r"does not take images \(B, 1, 28, 28\): .* 3 channels"),
        (["--arch", "torchvision.models.resnet18", "--network.num_classes", "10"], "does not take .* 3 channels"),
        (["--arch", "mlp", "--network.hidden", "3"], "the network mlp takes no arguments, but was given hidden"),
        (["--arch", "rows"], "unknown architecture 'rows': choose one of mlp, maxpool, batchnorm, or a class"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_classes_that_cannot_be_built_are_one_line_before_anything_is_written(
    own_networks: Path, flags: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Run(Config.parse(["--arch", "mlp", *flags]))
    assert "\n" not in str(caught.value)
    assert not Path("lightning_logs").exists()


@pytest.fixture(scope="module")
def trained_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which fit.py has trained a user's own network; read-only."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "own_networks.py").write_text(OWN_NETWORKS)
    finished = run_script("fit", *DEBUG, *ROWS, "--name", "run", cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture
def run(own_networks: Path, trained_rows: Path) -> RunDirectory:
    """A copy of that run."""
    shutil.copytree(trained_rows / LOGS, LOGS)
    return RunDirectory("run")


@pytest.mark.slow
def test_a_network_of_ones_own_trains_from_the_current_folder(run: RunDirectory) -> None:
    settings = yaml.safe_load(run.config.read_text())
    assert (settings["arch"], settings["network"]) == ("own_networks.Rows", {"hidden": 24})
    assert hyper_parameters(run)["network"] == {"hidden": 24}
    assert run.read_result().parameters == 3 * 24 * (28 + 24 + 2) + 10 * 25


def test_a_function_makes_a_network_too(own_networks: Path) -> None:
    train("--arch", "own_networks.flat", "--network.hidden", "8", "--name", "run", *QUICK)
    assert RunDirectory("run").result_after(2)


@pytest.mark.slow
def test_a_saved_config_repeats_a_run_of_ones_own_network(own_networks: Path) -> None:
    train(*ROWS, *RADAM, "--name", "run", *QUICK)
    fit.main(["--config", str(RunDirectory("run").config), "--name", "again"])
    assert_same_weights(RunDirectory("run"), RunDirectory("again"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [["evaluate"], ["predict", "picture.png"], ["export"], ["demo", "--port", "0"]],
    ids=lambda command: command[0],
)
def test_a_checkpoint_imports_no_foreign_module_by_itself(
    own_networks: Path, run: RunDirectory, command: list[str]
) -> None:
    own_networks.write_text("raise SystemExit('imported')")
    name, *arguments = command
    checkpoint = str(run.last_checkpoint)
    refused = run_script(name, checkpoint, *arguments, cwd=own_networks.parent)
    assert refused.returncode == 1
    assert refused.stderr.endswith("allow its import with --arch own_networks.Rows\n")
    allowed = run_script(name, checkpoint, *arguments, "--arch", "own_networks.Rows", cwd=own_networks.parent)
    assert allowed.stderr == "imported\n"


@pytest.mark.slow
def test_with_its_class_a_checkpoint_is_evaluated(run: RunDirectory, workspace: Path) -> None:
    checkpoint = run.last_checkpoint
    finished = run_script("evaluate", str(checkpoint), "--arch", "own_networks.Rows", cwd=workspace)
    assert finished.returncode == 0, finished.stderr
    assert "own_networks.Rows on the 10,000 test images" in finished.stdout
    with pytest.raises(UserError, match=re.escape("of the class own_networks.Rows")):
        load_network(checkpoint, ["own_networks.Other"])


@pytest.mark.parametrize("arch", ["os.mkdir", "pathlib.Path"])
def test_a_checkpoint_calls_nothing_but_networks(workspace: Path, arch: str) -> None:
    train("--arch", "mlp", "--name", "run", *QUICK)
    content = torch.load(RunDirectory("run").last_checkpoint, weights_only=True)
    content["hyper_parameters"] |= {"arch": arch, "network": {"path": "owned"}}
    torch.save(content, "evil.ckpt")
    with pytest.raises(UsageError, match=re.escape(arch)):
        DigitClassifier.load_from_checkpoint("evil.ckpt", weights_only=True)
    assert not Path("owned").exists()


def test_a_checkpoint_with_an_optimizer_that_is_not_there_still_predicts(own_networks: Path) -> None:
    train("--arch", "mlp", "--name", "run", *QUICK)
    content = torch.load(RunDirectory("run").last_checkpoint, weights_only=True)
    content["hyper_parameters"]["optimizer"] = "gone.Lion"
    torch.save(content, "gone.ckpt")
    assert load_network(Path("gone.ckpt")).arch == "mlp"
    assert DigitClassifier.load_from_checkpoint("gone.ckpt", weights_only=True).hparams["optimizer"] == "gone.Lion"


@pytest.mark.slow
def test_a_network_of_timm_trains(workspace: Path, digits: ImageSets) -> None:
    needs("timm")
    write_digits(workspace / "digits", digits, train=1300)
    network = ["--network.model_name=resnet10t", "--network.in_chans=1", "--network.num_classes=10"]
    network += ["--data.root", "digits"]
    finished = run_script("fit", *DEBUG, "--arch", "timm.create_model", *network, "--name", "run", cwd=workspace)
    assert finished.returncode == 0, finished.stderr
    assert RunDirectory("run").result_after(2)


@pytest.mark.parametrize(
    ("flags", "error", "message"),
    [
        (["--loss", "focal"], UsageError, "unknown loss 'focal': choose one of cross_entropy, or give a class"),
        (["--loss", "own_parts.Nowhere"], UsageError, "own_parts has no class or function 'Nowhere'"),
        (["--loss", "own_parts.Lion"], UsageError, "the class own_parts.Lion is not a subclass of Module"),
        (["--loss", "own_parts.Mean"], UsageError, r"returns \(\) for 2 images, not \(2,\): one loss per image"),
        (["--loss", "own_parts.Squared", "--loss.power", "two"], UsageError, "Squared does not take logits .*'str'"),
        (["--loss", "own_parts.Squared", "--loss.depth", "3"], UsageError, "cannot be made .* 'depth'"),
        (["--loss", "MSELoss"], UsageError, r"the loss torch.nn.MSELoss does not take logits \(2, 10\) and targets"),
        (["--loss", "own_parts.Learned"], UsageError, "own_parts.Learned has trainable parameters, which"),
        (["--loss", "CrossEntropyLoss", "--loss.reduction", "mean"], UsageError, "--loss.reduction cannot be set"),
        (["--data.source", "nowhere.Noise"], UsageError, "cannot import nowhere.Noise: there is no module nowhere"),
        (["--data.source", "own_parts.Nowhere"], UsageError, "own_parts has no class or function 'Nowhere'"),
        (["--data.source", "Noise"], UsageError, "Noise is not imported: give its module too, as in module.Name"),
        (["--data.source", "own_parts.Lion"], UsageError, "the class own_parts.Lion is not a subclass of ImageSource"),
        (["--data.source", "own_parts.Nothing"], UsageError, "own_parts.Nothing loads a NoneType, not ImageSets"),
        (["--data.source", "own_parts.function"], UsageError, "own_parts.function returns a PosixPath, not a"),
        (["--data.source", "own_parts.Mislabelled"], DataError, r"set.s labels must be in 0\.\.1, but go from 0 to 2"),
        ([*NOISE, "--arch", "own_networks.Rows"], UsageError, r"does not take images \(B, 3, 12, 20\)"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_data_and_losses_that_cannot_be_used_are_one_line(
    own_networks: Path, own_parts: None, flags: list[str], error: type[UserError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        Run(Config.parse(["--arch", "mlp", *flags]))
    assert "\n" not in str(caught.value)
    assert not Path("lightning_logs").exists()


def test_label_smoothing_is_an_argument_of_the_loss(workspace: Path) -> None:
    smooth = ["--loss", "CrossEntropyLoss", "--loss.label_smoothing", "0.1"]
    train("--arch", "mlp", "--name", "smooth", *smooth, *QUICK)
    train("--arch", "mlp", "--name", "plain", *QUICK)
    runs = [RunDirectory(name) for name in ("smooth", "plain")]
    loss = {"class_path": "CrossEntropyLoss", "init_args": {"label_smoothing": 0.1}}
    assert runs[0].read_config()["loss"] == loss
    smoothed, plain = (run.read_result() for run in runs)
    assert smoothed.final["test/loss"] > plain.final["test/loss"]
    assert smoothed.accuracy > 0.8


def test_the_full_name_of_the_default_loss_changes_nothing(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "named", "--loss", "torch.nn.CrossEntropyLoss", *QUICK)
    train("--arch", "mlp", "--name", "plain", *QUICK)
    assert_same_weights(RunDirectory("named"), RunDirectory("plain"))


def test_data_and_a_loss_of_ones_own_resume_to_the_same_end(own_parts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = [*DEBUG, *NOISE, "--arch", "batchnorm", "--batch_size", "16", "--loss", "own_parts.Squared"]
    flags += [*QUICK, "--name"]
    fit.main([*flags, "whole"])
    fit_until(27, [*flags, "stopped"], monkeypatch)
    fit.main(["--name", "stopped", "--resume"])
    whole, stopped = RunDirectory("whole"), RunDirectory("stopped")
    assert_same_weights(whole, stopped)
    assert metric_rows(whole) == metric_rows(stopped)
    assert stopped.read_result().images.spec.classes == ("lying", "standing", "none")

"""A user's own optimizers, schedules, networks, losses and data, by the commands that a
user types.
"""

from pathlib import Path

import pytest
import torch

from convblocks.errors import UsageError
from convblocks.model.classifier import ImageClassifier
from convblocks.model.restore import load_network
from convblocks.run import fit
from convblocks.run.directory import RunDirectory
from tests.core.run.test_fit import TENSORBOARD, assert_same_weights, curves, quick_run
from tests.hostile.spoil import checkpoint_with

PLATEAU = ["--lr_scheduler", "ReduceLROnPlateau", "--lr_scheduler.monitor", "train/loss"]
NEVER_BETTER = ["--lr_scheduler.patience", "0", "--lr_scheduler.threshold", "0.99", "--epochs", "3"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            [
                "--lr_scheduler",
                "StepLR",
                "--lr_scheduler.step_size",
                "5",
                "--lr_scheduler.interval",
                "step",
            ],
            0.001,
        ),
        (
            [
                "--lr_scheduler",
                "torch.optim.lr_scheduler.ExponentialLR",
                "--lr_scheduler.gamma",
                "0.5",
            ],
            0.005,
        ),
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


def test_network_and_optimizer_of_ones_own_are_kept_as_plain_values_that_repeat_the_run(
    own_networks: Path,
) -> None:
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


def test_checkpoint_calls_nothing_but_networks(workspace: Path) -> None:
    checkpoint = quick_run().last_checkpoint
    checkpoint_with(
        {"hyper_parameters/arch": "os.mkdir", "hyper_parameters/network": {"path": "owned"}}
    )(checkpoint)
    with pytest.raises(UsageError, match=r"os\.mkdir"):
        ImageClassifier.load_from_checkpoint(checkpoint, weights_only=True)
    assert not Path("owned").exists()


def test_checkpoint_with_an_optimizer_that_is_not_there_still_predicts(workspace: Path) -> None:
    checkpoint = quick_run().last_checkpoint
    checkpoint_with({"hyper_parameters/optimizer": "gone.Lion"})(checkpoint)
    assert load_network(checkpoint).arch == "mlp"
    assert (
        ImageClassifier.load_from_checkpoint(checkpoint, weights_only=True).hparams["optimizer"]
        == "gone.Lion"
    )

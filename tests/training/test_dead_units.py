"""The share of dead units in a run's curves, in its rows, and in the lines printed at its end."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from convblocks.data.images import ImageSets, LabelledImages
from convblocks.data.module import MNISTDataModule
from convblocks.errors import Stopped
from convblocks.evaluation.trained import load_network
from convblocks.model.dead_units import dead_shares
from convblocks.model.networks import ARCHITECTURES
from convblocks.runs.directory import RunDirectory
from convblocks.training import fit, signals
from convblocks.training.diagnostics import DeadUnits, whole_percent
from tests.conftest import DEBUG
from tests.training.several import stop_at
from tests.training.test_fit import QUICK, assert_same_weights, curves, metric_rows, train

LAYERS = ("dead/relu1", "dead/relu2", "dead/relu3")


class Dead(nn.Sequential):
    """No image gets past its second ReLU; a dropout draws random numbers."""

    def __init__(self, image_spec: object) -> None:
        first, second = nn.Linear(784, 20), nn.Linear(20, 10)
        with torch.no_grad():
            first.weight[:5], first.bias[:5] = 0.0, -100.0
            second.bias.fill_(-1e6)
        super().__init__(nn.Flatten(), first, nn.ReLU(), nn.Dropout(), second, nn.ReLU(), nn.Linear(10, 10))


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(ARCHITECTURES, "dead", Dead)
    return "dead"


def shares_of(checkpoint: Path, images: LabelledImages) -> dict[str, Any]:
    """The shares of a trained network on the first 1,000 images, in the precision of the rows."""
    trained = load_network(checkpoint)
    shares = dead_shares(trained.network, [trained.image_spec.normalize(images.images[:1000])])
    return {f"dead/{relu}": pytest.approx(share, rel=1e-6) for relu, share in shares.items()}


def dead_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name.startswith("dead/")}


@pytest.mark.slow
def test_each_evaluation_measures_the_first_thousand_test_images(workspace: Path, digits: ImageSets) -> None:
    train("--arch", "maxpool", "--name", "run")
    run = RunDirectory("run")
    rows = run.read_metrics()
    assert [tuple(dead_of(row)) for row in rows] == [LAYERS, LAYERS]
    assert dead_of(rows[-1]) == shares_of(run.last_checkpoint, digits.test)
    result = run.read_result()
    assert [dead_of(row) for row in result.epochs] == [dead_of(row) for row in rows]
    assert dead_of(result.final) == dead_of(rows[-1])
    for layer in LAYERS:
        shown: Any = curves(run)[f"vitals/{layer}"]
        assert shown == [(19, pytest.approx(rows[0][layer])), (39, pytest.approx(rows[1][layer]))]


def test_a_run_prints_its_dead_units_at_its_end(workspace: Path, dead: str, capsys: pytest.CaptureFixture[str]) -> None:
    train("--arch", dead, "--name", "run")
    printed = capsys.readouterr().out
    assert "\ndead units: relu1 25 %, relu2 100 %\nThis run collapsed in epoch 1: " in printed
    assert "All units of relu2 are dead; another --seed or a lower --lr helps.\n" in printed


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.001, "1 %"), (0.47, "47 %"), (63 / 64, "98 %"), (199 / 200, "99 %"), (1.0, "100 %")],
)
def test_only_none_is_0_percent_and_only_all_is_100(share: float, text: str) -> None:
    assert whole_percent(share) == text


@pytest.mark.parametrize("arch", ["dead", pytest.param("batchnorm", marks=pytest.mark.slow)])
def test_training_is_not_affected(workspace: Path, dead: str, arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train("--arch", arch, "--name", "watched", *QUICK)
    monkeypatch.delattr(DeadUnits, "on_validation_epoch_end")
    train("--arch", arch, "--name", "unwatched", *QUICK)
    watched, unwatched = RunDirectory("watched"), RunDirectory("unwatched")
    assert_same_weights(watched, unwatched)
    assert [row.items() - dead_of(row).items() for row in metric_rows(watched)] == [
        row.items() for row in metric_rows(unwatched)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["mlp", "maxpool", "batchnorm"])
def test_it_takes_less_than_a_hundredth_of_an_epoch(
    workspace: Path, arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a tenth of an epoch, a tenth: it looks at as many images however long an epoch is."""
    seconds: dict[str, float] = {"evaluation": 0.0, "epoch": 0.0}
    count = DeadUnits.on_validation_epoch_end

    def timed(*arguments: Any) -> None:
        begin = time.process_time()
        count(*arguments)
        seconds["evaluation"] += time.process_time() - begin

    def begin_epoch(*_: Any) -> None:
        seconds["epoch"] -= time.process_time()

    def end_epoch(*_: Any) -> None:
        seconds["epoch"] += time.process_time()

    monkeypatch.setattr(DeadUnits, "on_validation_epoch_end", timed)
    monkeypatch.setattr(DeadUnits, "on_train_epoch_start", begin_epoch)
    monkeypatch.setattr(DeadUnits, "on_train_epoch_end", end_epoch)
    tenth = ["--trainer.limit_train_batches", "0.1", "--trainer.limit_val_batches", "0.1"]
    fit.main(["--arch", arch, "--epochs", "3", *tenth, "--threads", "1", "--name", "run", *QUICK])
    assert 0 < seconds["evaluation"] < 0.1 * seconds["epoch"]


@pytest.mark.slow
@pytest.mark.parametrize("step", [20, 33])
def test_a_stopped_run_goes_on_to_the_same_rows(workspace: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Stopped in the last step of an epoch, and within one."""
    flags = [*DEBUG, "--arch", "maxpool", "--name"]
    fit.main([*flags, "whole"])
    with monkeypatch.context() as patch:
        stop_at(step, signal.SIGTERM, patch)
        with pytest.raises(Stopped):
            fit.main([*flags, "stopped"])
    signals.forget()
    fit.main(["--name", "stopped", "--resume"])
    whole, stopped = RunDirectory("whole"), RunDirectory("stopped")
    assert metric_rows(stopped) == metric_rows(whole)
    for layer in LAYERS:
        assert curves(stopped)[f"vitals/{layer}"] == curves(whole)[f"vitals/{layer}"]


def test_with_a_validation_split_the_images_are_held_out_ones_and_the_network_is_the_best(workspace: Path) -> None:
    flags = ["--data.val_size", "1500", "--trainer.val_check_interval", "0.5", "--lr", "0.05"]
    train("--arch", "mlp", "--name", "run", *flags)
    data = MNISTDataModule(val_size=1500)
    data.setup()
    run = RunDirectory("run")
    rows = run.read_metrics()
    assert [tuple(dead_of(row)) for row in rows] == 4 * [("dead/relu1",)]
    assert dead_of(rows[-1]) == shares_of(run.last_checkpoint, data.val)
    assert dead_of(run.read_result().final) == shares_of(run.best_checkpoint, data.val)
    assert len(curves(run)["vitals/dead/relu1"]) == 4


@pytest.mark.parametrize(
    "flags",
    [
        ["--trainer.limit_val_batches", "1", "--data.eval_batch_size", "64"],
        ["--trainer.limit_val_batches", "1.0", "--data.eval_batch_size", "300"],
        ["--trainer.num_sanity_val_steps", "2"],
    ],
    ids=" ".join,
)
def test_the_images_are_always_the_same(workspace: Path, flags: list[str]) -> None:
    train("--arch", "mlp", "--epochs", "1", "--name", "run", *QUICK)
    train("--arch", "mlp", "--epochs", "1", "--name", "other", *QUICK, *flags)
    (row,), (other,) = RunDirectory("run").read_metrics(), RunDirectory("other").read_metrics()
    assert dead_of(other) == dead_of(row)


def test_an_epoch_without_an_evaluation_has_no_shares_but_the_end_has(workspace: Path, digits: ImageSets) -> None:
    train("--arch", "mlp", "--name", "second", "--trainer.check_val_every_n_epoch", "2", *QUICK)
    first, second = RunDirectory("second").read_metrics()
    assert not dead_of(first)
    assert list(dead_of(second)) == ["dead/relu1"]
    train("--arch", "mlp", "--name", "never", "--trainer.limit_val_batches", "0", *QUICK)
    never = RunDirectory("never")
    first, second = never.read_metrics()
    assert not dead_of(first)
    assert dead_of(second) == shares_of(never.last_checkpoint, digits.test)


def test_a_network_without_relus_prints_nothing(
    workspace: Path, own_networks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("--arch", "own_networks.Rows", "--epochs", "1", "--name", "run", *QUICK)
    (row,) = RunDirectory("run").read_metrics()
    assert not dead_of(row)
    assert "dead units" not in capsys.readouterr().out


def test_a_fast_dev_run_works(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--arch", "maxpool", "--trainer.fast_dev_run", "true")
    assert "fast_dev_run: training, evaluation and test work" in capsys.readouterr().out


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_it_is_measured_in_the_precision_of_the_run(workspace: Path, precision: str) -> None:
    train("--arch", "mlp", "--epochs", "1", "--name", "run", "--trainer.precision", precision, *QUICK)
    (row,) = RunDirectory("run").read_metrics()
    assert 0 < row["dead/relu1"] < 1

"""The share of dead units in a run's curves, in its rows, and in the lines printed at its end."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from convblocks.data.images import ImageSets, LabelledImages
from convblocks.data.module import MNISTDataModule
from convblocks.diagnosis.advice import whole_percent
from convblocks.diagnosis.callback import DeadUnits
from convblocks.diagnosis.dead_units import dead_shares
from convblocks.model.networks import ARCHITECTURES
from convblocks.model.restore import load_network
from tests.core.run.test_fit import TENSORBOARD, assert_same_weights, curves, metric_rows, quick_run

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
def dead(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setitem(ARCHITECTURES, "dead", Dead)
    return ["--arch", "dead"]


def shares_of(checkpoint: Path, images: LabelledImages) -> dict[str, Any]:
    """The shares of a trained network on the first 1,000 images, in the precision of the rows."""
    trained = load_network(checkpoint)
    shares = dead_shares(trained.network, [trained.image_spec.normalize(images.images[:1000])])
    return {f"dead/{relu}": pytest.approx(share, rel=1e-6) for relu, share in shares.items()}


def dead_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name.startswith("dead/")}


@pytest.mark.slow
def test_each_evaluation_measures_the_first_thousand_test_images(workspace: Path, digits: ImageSets) -> None:
    run = quick_run("--arch", "maxpool", *TENSORBOARD)
    rows, result, shown = run.read_metrics(), run.read_result(), curves(run)
    assert [tuple(dead_of(row)) for row in rows] == [LAYERS, LAYERS]
    assert dead_of(rows[-1]) == shares_of(run.last_checkpoint, digits.test)
    assert [dead_of(row) for row in result.epochs] == [dead_of(row) for row in rows]
    assert dead_of(result.final) == dead_of(rows[-1])
    for layer in LAYERS:
        points: Any = shown[f"vitals/{layer}"]
        assert points == [(19, pytest.approx(rows[0][layer])), (39, pytest.approx(rows[1][layer]))]


def test_with_a_validation_split_the_images_are_held_out_ones_and_the_network_is_the_best(workspace: Path) -> None:
    run = quick_run("--data.val_size", "1500", "--trainer.val_check_interval", "0.5", "--lr", "0.05")
    data = MNISTDataModule(val_size=1500)
    data.setup()
    rows = run.read_metrics()
    assert [tuple(dead_of(row)) for row in rows] == 4 * [("dead/relu1",)]
    assert dead_of(rows[-1]) == shares_of(run.last_checkpoint, data.val)
    assert dead_of(run.read_result().final) == shares_of(run.best_checkpoint, data.val)


def test_a_run_prints_its_dead_units_at_its_end(
    workspace: Path, dead: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    quick_run(*dead)
    printed = capsys.readouterr().out
    assert (
        "\ndead units: relu1 25 %, relu2 100 %\nThis run collapsed in epoch 1: all units of relu2 are dead" in printed
    )
    assert re.search(r"\ntry next      .* fit --config lightning_logs/run/config\.yaml --lr 0\.003\n", printed)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.001, "1 %"), (0.47, "47 %"), (63 / 64, "98 %"), (199 / 200, "99 %"), (1.0, "100 %")],
)
def test_only_none_is_0_percent_and_only_all_is_100(share: float, text: str) -> None:
    assert whole_percent(share) == text


def test_training_is_not_affected(workspace: Path, dead: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    watched = quick_run(*dead, name="watched")
    monkeypatch.delattr(DeadUnits, "on_validation_epoch_end")
    unwatched = quick_run(*dead, name="unwatched")
    assert_same_weights(watched, unwatched)
    rows = metric_rows(watched)
    assert [row.items() - dead_of(row).items() for row in rows] == [row.items() for row in metric_rows(unwatched)]


@pytest.mark.slow
def test_it_takes_less_than_a_hundredth_of_an_epoch(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a tenth of an epoch, a tenth: it looks at as many images however long an epoch is."""
    seconds, count = [], DeadUnits.on_validation_epoch_end

    def timed(*arguments: Any) -> None:
        begin = time.perf_counter()
        count(*arguments)
        seconds.append(time.perf_counter() - begin)

    monkeypatch.setattr(DeadUnits, "on_validation_epoch_end", timed)
    tenth = ["--trainer.limit_train_batches", "0.1", "--trainer.limit_val_batches", "0.1"]
    run = quick_run("--epochs", "3", *tenth, "--threads", "1")
    assert 0 < sum(seconds) < 0.1 * run.read_result().seconds


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
    (row,) = quick_run("--epochs", "1").read_metrics()
    (other,) = quick_run("--epochs", "1", *flags, name="other").read_metrics()
    assert dead_of(other) == dead_of(row)


@pytest.mark.parametrize(
    ("flags", "evaluated"),
    [
        (["--trainer.check_val_every_n_epoch", "2"], [False, True, True]),
        (["--trainer.limit_val_batches", "0"], [False, False, True]),
    ],
)
def test_an_epoch_without_an_evaluation_has_no_shares_but_the_end_has(
    workspace: Path, digits: ImageSets, flags: list[str], evaluated: list[bool]
) -> None:
    run = quick_run("--epochs", "3", *flags)
    rows = run.read_metrics()
    assert [bool(dead_of(row)) for row in rows] == ["test/acc" in row for row in rows] == evaluated
    assert dead_of(rows[-1]) == shares_of(run.last_checkpoint, digits.test)


def test_a_run_has_a_column_for_each_relu_in_each_epoch_and_at_the_end(workspace: Path) -> None:
    result = quick_run("--data.val_size", "2000").read_result()
    assert all("dead/relu1" in row for row in result.epochs)
    evaluated = [f"{split}/{name}" for split in ("train", "val") for name in ("loss", "acc")]
    assert result.final.keys() == {*evaluated, "train/lr", "dead/relu1", "test/loss", "test/acc"}

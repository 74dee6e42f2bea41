"""What a run measures of its dead units, and what it says at its end."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from convblocks.data.images import ImageSets, LabelledImages
from convblocks.data.module import MNISTDataModule
from convblocks.diagnosis.callback import DeadUnits
from convblocks.diagnosis.dead_units import dead_shares
from convblocks.model.classifier import ImageClassifier
from convblocks.model.networks import ARCHITECTURES
from convblocks.model.restore import load_network
from tests.core.run.test_fit import assert_same_weights, metric_rows, quick_run


def die_in(epoch: int, monkeypatch: pytest.MonkeyPatch, bias: float = -1e6) -> None:
    """Let all hidden units of an MLP die for good when that epoch begins."""

    @torch.no_grad()
    def die(classifier: ImageClassifier) -> None:
        if classifier.current_epoch + 1 == epoch:
            hidden: Any = classifier.get_submodule("network.layers.1")
            hidden.bias.fill_(bias)

    monkeypatch.setattr(ImageClassifier, "on_train_epoch_start", die)


def test_collapsed_run_has_failed_since_its_layer_died(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_in(2, monkeypatch)
    result = quick_run("--epochs", "3").read_result()
    assert (result.failed, result.facts["collapsed_in"]) == (True, 2)
    assert result.facts["diagnosis"]["options"] == ["--lr", "0.003"]


def test_collapsed_run_with_good_best_weights_has_not_failed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_in(2, monkeypatch)
    result = quick_run("--data.val_size", "2000").read_result()
    assert result.scores[1] < 0.15
    assert result.score > 0.5
    assert not result.failed
    assert result.facts.keys() & {"collapsed_in", "images", "chance"} == {"images", "chance"}
    assert (result.facts["images"]["train"], result.facts["images"]["test"]) == (58_000, 10_000)


class Dead(nn.Sequential):
    """No image gets past its second ReLU; a dropout draws random numbers."""

    def __init__(self, image_spec: object) -> None:
        first, second = nn.Linear(784, 20), nn.Linear(20, 10)
        with torch.no_grad():
            first.weight[:5], first.bias[:5] = 0.0, -100.0
            second.bias.fill_(-1e6)
        super().__init__(
            nn.Flatten(), first, nn.ReLU(), nn.Dropout(), second, nn.ReLU(), nn.Linear(10, 10)
        )


def shares_of(checkpoint: Path, images: LabelledImages) -> dict[str, Any]:
    """The shares of a trained network on the first 1,000 images, in the precision of the rows."""
    trained = load_network(checkpoint)
    shares = dead_shares(trained.network, [trained.image_spec.normalize(images.images[:1000])])
    return {f"dead/{relu}": pytest.approx(share, rel=1e-6) for relu, share in shares.items()}


def dead_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name.startswith("dead/")}


def test_dead_units_are_printed_and_do_not_affect_training(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "dead", Dead)
    watched = quick_run("--arch", "dead", name="watched")
    printed = capsys.readouterr().out
    assert (
        "\ndead units: 25 % of relu1, 100 % of relu2\n"
        "This run collapsed in epoch 1: all units of relu2" in printed
    )
    assert re.search(
        r"\ntry next      .* fit --config lightning_logs/watched/config\.yaml --lr 0\.003\n",
        printed,
    )
    monkeypatch.delattr(DeadUnits, "on_validation_epoch_end")
    unwatched = quick_run("--arch", "dead", name="unwatched")
    assert_same_weights(watched, unwatched)
    rows = metric_rows(watched)
    assert [row.items() - dead_of(row).items() for row in rows] == [
        row.items() for row in metric_rows(unwatched)
    ]


def test_dead_units_of_a_run_with_held_out_images_are_those_of_its_best_network(
    workspace: Path,
) -> None:
    run = quick_run(
        "--data.val_size", "1500", "--trainer.val_check_interval", "0.5", "--lr", "0.05"
    )
    data = MNISTDataModule(val_size=1500)
    data.setup()
    result = run.read_result()
    rows = [*result.evaluations, *result.epochs]
    assert [tuple(dead_of(row)) for row in rows] == 4 * [("dead/relu1",)]
    assert dead_of(rows[-1]) == shares_of(run.last_checkpoint, data.val)
    assert dead_of(result.final) == shares_of(run.best_checkpoint, data.val)
    evaluated = [f"{split}/{name}" for split in ("train", "val") for name in ("loss", "acc")]
    assert result.final.keys() == {*evaluated, "train/lr", "dead/relu1", "test/loss", "test/acc"}


def test_dead_units_are_measured_with_each_evaluation_and_at_the_end(
    workspace: Path, digits: ImageSets
) -> None:
    """On a thousand images, also if fewer are evaluated."""
    run = quick_run(
        "--epochs", "3", "--trainer.check_val_every_n_epoch", "2", "--data.eval_batch_size", "64"
    )
    rows = run.read_result().epochs
    assert (
        [bool(dead_of(row)) for row in rows]
        == ["test/acc" in row for row in rows]
        == [False, True, True]
    )
    assert dead_of(rows[-1]) == shares_of(run.last_checkpoint, digits.test)

"""What is called a collapse: only that from which a run cannot recover."""

from typing import Any

import pytest
import torch

from convblocks.diagnosis.collapse import collapsed_in, constant_loss, has_collapsed, is_falling
from convblocks.run.result import Row, RunResult
from tests.made_up import course, result

DIGITS = torch.arange(10)


def ended(*rows: Row, **facts: Any) -> RunResult:
    """A run with these epochs, and the metrics of the last one."""
    hparams = {"loss": "cross_entropy"}
    return result("mlp", 0, 0.1, epochs=rows, final=rows[-1], hparams=hparams, facts={"chance": 0.149} | facts)


@pytest.mark.parametrize(
    ("collapsed", "changed"),
    [
        (True, {}),
        (False, {"test/acc": 0.15}),
        (True, {"dead/relu2": 1.0, "step": 10, "train/acc": 0.9}),
        (False, {"dead/relu2": 0.99, "step": 10}),
        (False, {"train/acc": 0.9}),  # overfitted, or averages of batch normalisation lag behind
        (False, {"step": 199}),
        (False, {"train/loss": 2.29}),  # always the most frequent class, but by no means always as sure
    ],
)
def test_a_run_has_collapsed_if_it_learned_nothing_and_cannot_recover(
    collapsed: bool, changed: dict[str, float]
) -> None:
    row = {"step": 200, "train/acc": 0.1, "train/loss": 2.31, "test/acc": 0.1, "dead/relu2": 0.5} | changed
    assert has_collapsed(ended(row), DIGITS) == collapsed


@pytest.mark.parametrize(
    ("losses", "falls"),
    [
        ([2.40, 2.38, 2.36, 2.35, 2.34, 2.33], True),
        ([3.00, 2.40, 2.38, 2.36, 2.35, 2.34, 2.33], True),
        ([2.38, 2.36, 2.35, 2.34, 2.33], False),
        ([2.40, 2.38, 2.36, 2.37, 2.34, 2.33], False),
        ([2.3105, 2.3104, 2.3103, 2.3102, 2.3101, 2.31], False),
    ],
)
def test_a_loss_that_falls_for_five_epochs_is_no_collapse(losses: list[float], falls: bool) -> None:
    rows = [{"step": 1000, "train/acc": 0.1, "test/acc": 0.1, "train/loss": loss} for loss in losses]
    assert is_falling(ended(*rows)) == falls
    assert has_collapsed(ended(*rows), DIGITS) == (not falls)


def test_images_of_other_shares_have_other_chances() -> None:
    """Of the test images nine in ten are of one class, of the training images half."""
    row = {"step": 300, "train/acc": 0.85, "train/loss": 3.0, "test/acc": 0.85}
    half, mostly = torch.tensor([0, 1]), torch.tensor([0] * 19 + [1])
    assert not has_collapsed(ended(row, chance=0.904), half)
    assert has_collapsed(ended(row | {"train/acc": 0.51}, chance=0.904), half)
    assert has_collapsed(ended(row | {"test/acc": 0.5, "train/acc": 0.95}, chance=0.52), mostly)


@pytest.mark.parametrize(
    ("accuracies", "epoch"),
    [
        ((0.95, 0.96, 0.0980), 3),
        ((0.95, 0.0980, 0.0980), 2),
        ((0.95, 0.1, 0.96, 0.1, 0.1), 4),
        ((0.1135, 0.1135), 1),
        ((0.9, 0.9), 2),  # no evaluation shows it
    ],
)
def test_a_run_collapsed_in_the_epoch_since_which_it_is_at_chance(accuracies: tuple[float, ...], epoch: int) -> None:
    assert collapsed_in(ended(*course(*accuracies))) == epoch


def test_the_loss_of_a_constant_predictor_is_that_of_the_frequencies_of_the_classes() -> None:
    frequencies = torch.tensor([0.75, 1e-9, 0.25])
    labels = torch.tensor([0, 0, 0, 2])
    expected = torch.nn.functional.cross_entropy(frequencies.log().expand(4, 3), labels)
    assert constant_loss(labels) == pytest.approx(float(expected), abs=1e-5)

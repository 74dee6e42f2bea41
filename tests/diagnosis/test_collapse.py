"""What is called a collapse: only that from which a run cannot recover."""

import math

import pytest
import torch

from convblocks.diagnosis.collapse import ConstantAnswer, collapsed_in, constant_answer_to, has_collapsed, is_falling
from tests.made_up import course, result

CHANCE, CONSTANT = 0.149, ConstantAnswer(0.149, math.log(10))


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
    assert has_collapsed([row], row, CHANCE, CONSTANT, 10) == collapsed


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
    rows = [{"step": 1000, "train/acc": 0.1, "train/loss": loss} for loss in losses]
    assert is_falling(losses) == falls
    assert has_collapsed(rows, rows[-1] | {"test/acc": 0.1}, CHANCE, CONSTANT, 10) == (not falls)


def test_images_of_other_shares_have_other_chances() -> None:
    """Of the test images nine in ten are of one class, of the training images half."""
    row = {"step": 300, "train/acc": 0.85, "train/loss": 3.0, "test/acc": 0.85}
    assert not has_collapsed([row], row, 0.904, ConstantAnswer(0.52, None), 2)
    assert has_collapsed([row | {"train/acc": 0.51}], row, 0.904, ConstantAnswer(0.52, None), 2)
    row["test/acc"] = 0.5
    assert has_collapsed([row | {"train/acc": 0.95}], row, 0.52, ConstantAnswer(0.952, 0.2), 2)


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
    assert collapsed_in(result("maxpool", 0, accuracies[-1], epochs=course(*accuracies)), CHANCE) == epoch


def test_a_collapse_within_an_epoch_is_that_epochs() -> None:
    within = [{"epoch": 1, "step": step, "val/acc": score, "seconds": 1.0} for step, score in ((100, 0.8), (900, 0.1))]
    assert collapsed_in(result("mlp", 0, 0.1, epochs=course(0.1, 0.1), evaluations=tuple(within)), CHANCE) == 1


def test_the_loss_of_the_best_constant_answer_is_that_of_the_shares_of_the_classes() -> None:
    labels = torch.tensor([0, 0, 0, 2])
    shares = torch.tensor([0.75, 1e-9, 0.25])
    expected = torch.nn.functional.cross_entropy(shares.log().expand(4, 3), labels)
    found = constant_answer_to(labels, is_cross_entropy=True)
    assert (found.loss, found.accuracy) == pytest.approx((float(expected), 0.76), abs=1e-5)
    assert constant_answer_to(labels, is_cross_entropy=False).loss is None

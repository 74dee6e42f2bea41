"""What is called a collapse, what the end of a run names as wrong with it, and what it
proposes to try next.
"""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from convblocks.data.module import ImageDataModule
from convblocks.diagnosis.advice import diagnose
from convblocks.diagnosis.collapse import chance_accuracy, collapsed_in, has_collapsed
from convblocks.record.result import Row, RunResult
from convblocks.run.make import make_run
from convblocks.settings.config import Config
from tests.made_up import course, result

DIGITS = torch.arange(10)

MORE, LOWER, MOVED = (
    ("--epochs", "4"),
    ("--lr", "0.01"),
    ("--data.shift", "2", "--data.rotation", "10"),
)


def ended(*rows: Row, **facts: Any) -> RunResult:
    """A run with these epochs, and the metrics of the last one."""
    hparams = {"loss": "cross_entropy", "lr": 0.03}
    return result(
        "mlp", 0, 0.1, epochs=rows, final=rows[-1], hparams=hparams, facts={"chance": 0.149} | facts
    )


@pytest.mark.parametrize(
    ("collapsed", "changed"),
    [
        (True, {}),
        (False, {"test/acc": 0.15}),
        (True, {"dead/relu2": 1.0, "step": 10, "train/acc": 0.9}),
        (False, {"dead/relu2": 0.99, "step": 10}),
        (False, {"train/acc": 0.9}),  # overfitted, or averages of batch normalisation lag behind
        (False, {"step": 199}),
        # Always the most frequent class, but by no means always as sure.
        (False, {"train/loss": 2.29}),
    ],
)
def test_collapsed_run_learned_nothing_and_cannot_recover(
    collapsed: bool, changed: dict[str, float]
) -> None:
    row = {
        "step": 200,
        "train/acc": 0.1,
        "train/loss": 2.31,
        "test/acc": 0.1,
        "dead/relu2": 0.5,
    } | changed
    assert has_collapsed(ended(row), DIGITS) == collapsed


@pytest.mark.parametrize(
    ("losses", "falls"),
    [
        ([2.40, 2.38, 2.36, 2.35, 2.34, 2.33], True),
        ([2.38, 2.36, 2.35, 2.34, 2.33], False),
        ([2.40, 2.38, 2.36, 2.37, 2.34, 2.33], False),
        ([2.3105, 2.3104, 2.3103, 2.3102, 2.3101, 2.31], False),
    ],
)
def test_collapsed_run_has_no_loss_that_falls_for_five_epochs(
    losses: list[float], falls: bool
) -> None:
    rows = [
        {"step": 1000, "train/acc": 0.1, "test/acc": 0.1, "train/loss": loss} for loss in losses
    ]
    assert has_collapsed(ended(*rows), DIGITS) == (not falls)


def test_collapsed_run_is_at_the_chance_of_its_images() -> None:
    """Of the test images nine in ten are of one class, of the training images half."""
    row = {"step": 300, "train/acc": 0.85, "train/loss": 3.0, "test/acc": 0.85}
    half, mostly = torch.tensor([0, 1]), torch.tensor([0] * 19 + [1])
    assert not has_collapsed(ended(row, chance=0.904), half)
    assert has_collapsed(ended(row | {"train/acc": 0.51}, chance=0.904), half)
    assert has_collapsed(ended(row | {"test/acc": 0.5, "train/acc": 0.95}, chance=0.52), mostly)


@pytest.mark.parametrize(
    ("accuracies", "epoch"),
    [
        ((0.95, 0.0980, 0.0980), 2),
        ((0.95, 0.1, 0.96, 0.1, 0.1), 4),
        ((0.1135, 0.1135), 1),
        ((0.9, 0.9), 2),  # no evaluation shows it
    ],
)
def test_collapsed_run_names_the_epoch_since_which_it_is_at_chance(
    accuracies: tuple[float, ...], epoch: int
) -> None:
    assert collapsed_in(ended(*course(*accuracies))) == epoch


def after_epoch(
    test: float,
    train: float = math.nan,
    steps: int = 1000,
    dead: float = 0,
    test_loss: float = 1.0,
    **changed: Any,
) -> RunResult:
    """A run of one epoch with these accuracies after that many steps."""
    (row,) = course(test, loss=2.31)
    row = row | {"step": steps, "dead/relu1": dead, "test/loss": test_loss} | {"train/acc": train}
    if math.isnan(train):
        del row["train/acc"]
    run = replace(ended(row, collapsed_in=1), **changed)
    return run if changed else replace(run, failed=has_collapsed(run, DIGITS))


def slow() -> RunResult:
    """A run at chance with a loss that still falls."""
    rows = tuple(row | {"train/acc": 0.1} for row in course(*[0.1] * 6))
    return replace(after_epoch(0.1), epochs=rows, failed=False)


def of_the_best_epoch() -> RunResult:
    """A run whose validation loss was lowest in its first epoch, before it overfitted."""
    first, last = course(0.5, 0.5)
    first |= {"train/acc": 0.5, "val/loss": 1.0, "val/acc": 0.5}
    last |= {"train/acc": 0.99, "val/loss": 2.0, "val/acc": 0.5}
    return replace(after_epoch(0.5, 0.5), epochs=(first, last))


@pytest.fixture
def data(workspace: Path) -> ImageDataModule:
    """Of a run on MNIST."""
    run = make_run(Config.parse(["--arch", "batchnorm"]))
    run.prepare()
    assert isinstance(run.data, ImageDataModule)
    return run.data


@pytest.mark.parametrize(
    ("run", "diverged_at", "sentence", "options"),
    [
        (
            after_epoch(0.1),
            7,
            "This run diverged: after step 7 its loss or a weight was not finite",
            ("--lr", "0.003"),
        ),
        (
            after_epoch(0.1, 0.1, dead=1.0),
            None,
            "collapsed in epoch 1: all units of layer 1 are dead",
            LOWER,
        ),
        (
            after_epoch(0.1, 0.11),
            None,
            "collapsed in epoch 1: it gets 11 % .* 10 % of the test",
            LOWER,
        ),
        (after_epoch(0.1, 0.11, steps=50), None, "Too few steps: after 50 steps it gets", MORE),
        (
            after_epoch(0.9, 0.95, test_loss=math.inf),
            None,
            "diverged: its loss or a weight",
            ("--lr", "0.003"),
        ),
        (slow(), None, "It learns slowly: .* its loss still falls", ("--lr", "0.3")),
        (after_epoch(0.1, 0.1, failed=False), None, "It has learned next to nothing", LOWER),
        (
            after_epoch(0.1, 0.1, dead=0.98, failed=False),
            None,
            "98 % of layer 1's units are dead",
            LOWER,
        ),
        (
            after_epoch(0.6, 0.95),
            None,
            "It overfits: it gets 95 % of the training images and 60 %",
            MOVED,
        ),
        (after_epoch(0.6, 0.95, steps=50), None, "It overfits", (*MORE, *MOVED)),
        (
            after_epoch(0.5, 0.5, dead=0.5),
            None,
            "50 % of layer 1's units are dead: .* get no gradient",
            LOWER,
        ),
    ],
)
def test_diagnosis_names_the_evidence_and_options_to_try_next(
    run: RunResult,
    diverged_at: int | None,
    sentence: str,
    options: tuple[str, ...],
    data: ImageDataModule,
) -> None:
    diagnosis = diagnose(data, run, diverged_at)
    assert diagnosis
    assert re.search(sentence, diagnosis.sentence)
    assert diagnosis.options == options


HEALTHY = [
    after_epoch(0.95, 0.99),
    after_epoch(0.95),
    after_epoch(0.5, 0.55, steps=20),
    of_the_best_epoch(),
]


@pytest.mark.parametrize("healthy", [*HEALTHY, after_epoch(0.5, 0.5, dead=0.49)])
def test_diagnosis_of_a_healthy_run_is_none(healthy: RunResult, data: ImageDataModule) -> None:
    assert diagnose(data, healthy, None) is None


def test_collapsed_run_of_many_classes_has_had_more_steps() -> None:
    spec = {"spec": {"classes": [str(letter) for letter in range(26)]}}
    row = {"train/acc": 0.04, "train/loss": 3.3, "test/acc": 0.04}
    runs = [ended(row | {"step": steps}, chance=0.1, images=spec) for steps in (300, 600)]
    assert [has_collapsed(run, torch.arange(26)) for run in runs] == [False, True]


def test_chance_is_above_the_most_frequent_class() -> None:
    assert chance_accuracy(torch.tensor([0] * 9 + [1])) == pytest.approx(0.9 + 0.04 * 0.1)

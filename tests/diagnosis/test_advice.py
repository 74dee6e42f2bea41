"""What the end of a run names as wrong with it, on which evidence, and what it proposes to try next."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from convblocks.diagnosis.advice import diagnose
from convblocks.diagnosis.collapse import has_collapsed
from convblocks.run.config import Config
from convblocks.run.final_evaluation import Classification, classification_of
from convblocks.run.result import RunResult
from convblocks.run.run import Run
from tests.made_up import course, result

DIGITS = torch.arange(10)

MOVED = ("--data.shift", "2", "--data.rotation", "10")


def ended(
    test: float, train: float = math.nan, steps: int = 1000, dead: float = 0, test_loss: float = 1.0, **changed: Any
) -> RunResult:
    """A run of one epoch with these accuracies after so many steps."""
    (row,) = course(test, loss=2.31)
    row = row | {"train/acc": train, "step": steps, "dead/relu1": dead, "test/loss": test_loss}
    values: dict[str, Any] = {"final": row, "hparams": {"lr": 0.03}, "facts": {"collapsed_in": 1}}
    made = result("batchnorm", 0, test, epochs=(row,), **values | changed)
    return replace(made, failed=has_collapsed(made, DIGITS))


def slow() -> RunResult:
    """A run at chance, the loss of which still falls."""
    made = replace(ended(0.1), epochs=tuple(row | {"train/acc": 0.1} for row in course(*[0.1] * 6)))
    return replace(made, failed=has_collapsed(made, DIGITS))


def of_the_best_epoch() -> RunResult:
    """A run whose validation loss was lowest in its first epoch, before it overfitted."""
    first, last = course(0.5, 0.5)
    first |= {"train/acc": 0.5, "val/loss": 1.0, "val/acc": 0.5}
    return replace(ended(0.5, 0.5), epochs=(first, last | {"train/acc": 0.99, "val/loss": 2.0, "val/acc": 0.5}))


def a_run() -> Classification:
    """A run of a network with batch normalisation, on MNIST."""
    run = Run(Config.parse(["--arch", "batchnorm"]))
    run.prepare()
    classification = classification_of(run)
    assert classification
    return classification


MORE, LOWER = ("--epochs", "4"), ("--lr", "0.01")


@pytest.mark.parametrize(
    ("ended_run", "diverged_at", "sentence", "options"),
    [
        (ended(0.1), 7, "This run diverged: after step 7 its loss or a weight was not finite", ("--lr", "0.003")),
        (ended(0.1, 0.1, dead=1.0), None, "collapsed in epoch 1: all units of relu1 are dead", LOWER),
        (ended(0.1, 0.11), None, "collapsed in epoch 1: it classifies 11 % .* 10 % of the test", LOWER),
        (ended(0.1, 0.11, steps=50), None, "Too few steps: after 50 steps it classifies", MORE),
        (ended(0.9, 0.95, test_loss=math.inf), None, "diverged: its loss or a weight", ("--lr", "0.003")),
        (slow(), None, "It learns slowly: .* its loss still falls", ("--lr", "0.3")),
        (replace(ended(0.1, 0.1), failed=False), None, "It has learned next to nothing", LOWER),
        (replace(ended(0.1, 0.1, dead=0.98), failed=False), None, "98 % of relu1's units are dead", LOWER),
        (ended(0.6, 0.95), None, "It overfits: it classifies 95 % of the training images and 60 %", MOVED),
        (ended(0.6, 0.95, steps=50), None, "It overfits", (*MORE, *MOVED)),
        (ended(0.5, 0.5, dead=0.5), None, "50 % of relu1's units are dead: .* get no gradient", LOWER),
    ],
)
def test_the_evidence_is_named_with_options_to_try_next(
    ended_run: RunResult, diverged_at: int | None, sentence: str, options: tuple[str, ...], workspace: Path
) -> None:
    found = diagnose(a_run(), ended_run, diverged_at)
    assert found
    assert re.search(sentence, found.sentence)
    assert found.options == options


@pytest.mark.parametrize(
    "healthy",
    [ended(0.95, 0.99), ended(0.95), ended(0.5, 0.55, steps=20), ended(0.5, 0.5, dead=0.49), of_the_best_epoch()],
)
def test_a_healthy_run_has_no_diagnosis(healthy: RunResult, workspace: Path) -> None:
    assert diagnose(a_run(), healthy, None) is None

"""What the end of a run names as wrong with it, on which evidence, and what it proposes to try next."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convblocks.data.images import ImageSets
from convblocks.diagnosis import advice as diagnosis
from convblocks.diagnosis.collapse import has_collapsed
from convblocks.run import fit
from convblocks.run.config import Config
from convblocks.run.final_evaluation import Classification, classification_of
from convblocks.run.result import RunResult
from convblocks.run.run import Run
from tests.conftest import write_digits
from tests.made_up import course, result

MOVED = ("--data.shift", "2", "--data.rotation", "10")


def ended(
    test: float, train: float = math.nan, steps: int = 1000, dead: float = 0, test_loss: float = 1.0, **changed: Any
) -> RunResult:
    """A run of one epoch with these accuracies after so many steps."""
    (row,) = course(test, loss=2.31)
    row = row | {"train/acc": train, "step": steps, "dead/relu1": dead, "test/loss": test_loss}
    values: dict[str, Any] = {"final": row, "hparams": {"lr": 0.03}, "facts": {"collapsed_in": 1}}
    made = result("batchnorm", 0, test, epochs=(row,), **values | changed)
    return replace(made, failed=has_collapsed([row], row, 0.15, None, 10))


def slow() -> RunResult:
    """A run at chance, the loss of which still falls."""
    epochs = tuple(row | {"train/acc": 0.1} for row in course(*[0.1] * 6))
    return replace(ended(0.1, 0.1), epochs=epochs, failed=has_collapsed(epochs, epochs[-1], 0.15, None, 10))


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
    ("one", "diverged_at", "on_training_images", "sentence", "options"),
    [
        (ended(0.1), 7, None, "This run diverged: after step 7 its loss or a weight was not finite", ("--lr", "0.003")),
        (ended(0.1, 0.1, dead=1.0), None, None, "collapsed in epoch 1: all units of relu1 are dead", LOWER),
        (ended(0.1, 0.11), None, None, "collapsed in epoch 1: it classifies 11 % .* 10 % of the test", LOWER),
        (ended(0.1, 0.11, steps=50), None, None, "Too few steps: after 50 steps it classifies", MORE),
        (ended(0.1, 0.11, steps=50, dead=0.98), None, None, "Most units .* 98 % of relu1's", ("--lr", "0.003")),
        (ended(0.9, 0.95, test_loss=math.inf), None, None, "on the test images is not finite", ("--lr", "0.003")),
        (slow(), None, None, "It learns slowly: .* its loss still falls", ("--lr", "0.3")),
        (replace(ended(0.1, 0.1), failed=False), None, None, "It has learned next to nothing", LOWER),
        (ended(0.1, 0.95), None, 0.12, "The averages of batch normalisation lag .* 95 % .* 12 %", MORE),
        (ended(0.1, 0.95, steps=50), None, 0.12, "The averages of batch normalisation lag", MORE),
        (ended(0.6, 0.95), None, 0.95, "It overfits: it classifies 95 % of the training images and 60 %", MOVED),
        (ended(0.6, 0.95, steps=50), None, None, "It overfits", (*MORE, *MOVED)),
        (ended(0.5, 0.5, dead=0.5), None, None, "50 % of relu1's units are dead: .* get no gradient", LOWER),
    ],
)
def test_the_evidence_is_named_with_options_to_try_next(
    one: RunResult,
    diverged_at: int | None,
    on_training_images: float | None,
    sentence: str,
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    workspace: Path,
) -> None:
    monkeypatch.setattr(diagnosis, "accuracy_on_training_images", lambda run: on_training_images)
    found = diagnosis.diagnose(a_run(), one, diverged_at)
    assert found
    assert re.search(sentence, found.sentence)
    assert found.options == options


@pytest.mark.parametrize(
    "one", [ended(0.95, 0.99), ended(0.95), ended(0.5, 0.55, steps=20), ended(0.5, 0.5, dead=0.49), of_the_best_epoch()]
)
def test_a_healthy_run_has_no_diagnosis(one: RunResult, workspace: Path) -> None:
    assert diagnosis.diagnose(a_run(), one, None) is None


LAGGING = """
from torch import nn


class Lagging(nn.Sequential):
    def __init__(self, image_spec):
        super().__init__(
            nn.Flatten(), nn.Linear(784, 64), nn.BatchNorm1d(64, momentum=1e-4), nn.ReLU(), nn.Linear(64, 10)
        )
        nn.init.constant_(self[1].bias, 30.0)
"""


@pytest.mark.slow
def test_a_network_whose_averages_lag_behind_is_not_called_collapsed(
    workspace: Path, digits: ImageSets, capsys: pytest.CaptureFixture[str]
) -> None:
    write_digits(workspace / "digits", digits)
    (workspace / "lagging.py").write_text(LAGGING)
    flags = "--arch lagging.Lagging --data.root digits --epochs 12 --batch_size 20 --lr 1e-3 --threads 1 --name run"
    fit.main(flags.split())
    printed = capsys.readouterr().out
    assert "The averages of batch normalisation lag behind" in printed
    assert "collapsed" not in printed
    assert re.search(r"\ntry next .* --epochs 48\n", printed)

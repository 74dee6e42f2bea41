"""Whether and when a run has collapsed, and what it says of it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from convblocks.model.classifier import ImageClassifier
from tests.core.run.test_fit import quick_run


def die_in(epoch: int, monkeypatch: pytest.MonkeyPatch, bias: float = -1e6) -> None:
    """Let all hidden units of an MLP die for good when that epoch begins."""

    @torch.no_grad()
    def die(classifier: ImageClassifier) -> None:
        if classifier.current_epoch + 1 == epoch:
            hidden: Any = classifier.get_submodule("network.layers.1")
            hidden.bias.fill_(bias)

    monkeypatch.setattr(ImageClassifier, "on_train_epoch_start", die)


def test_a_run_that_dies_late_has_collapsed_then(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    die_in(2, monkeypatch)
    result = quick_run("--epochs", "3").read_result()
    assert result.scores[0] > 0.5
    assert max(result.scores[1:]) < 0.15
    assert (result.failed, result.facts["collapsed_in"]) == (True, 2)
    assert "collapsed in epoch 2: all units of relu1 are dead" in capsys.readouterr().out
    diagnosis = result.facts["diagnosis"]
    assert diagnosis["sentence"].startswith("This run collapsed in epoch 2: all units of relu1 are dead")
    assert diagnosis["options"] == ["--lr", "0.003"]


def test_a_run_with_good_best_weights_has_not_collapsed(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    die_in(2, monkeypatch)
    result = quick_run("--data.val_size", "2000").read_result()
    assert result.scores[1] < 0.15
    assert result.score > 0.5
    assert not result.failed
    assert result.facts.keys() & {"collapsed_in", "images", "chance"} == {"images", "chance"}
    assert (result.facts["images"]["train"], result.facts["images"]["test"]) == (58_000, 10_000)

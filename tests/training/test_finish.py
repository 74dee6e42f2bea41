"""The result of a run: whether and when it collapsed, and the images that its final network gets wrong."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from convblocks.comparison.trials import Trial
from convblocks.data.images import ImageSets
from convblocks.evaluation.trained import load_network
from convblocks.model.classifier import ImageClassifier
from convblocks.model.evaluation import Evaluation
from convblocks.tables import as_csv
from convblocks.training import fit
from convblocks.training.finish_images import MISTAKE, mistakes_of
from tests.training.test_fit import quick_run


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
    assert (result.collapsed, result.collapsed_in) == (True, 2)
    assert "collapsed in epoch 2: all units of relu1 are dead" in capsys.readouterr().out
    assert result.diagnosis
    assert result.diagnosis.sentence.startswith("This run collapsed in epoch 2: all units of relu1 are dead")
    assert result.diagnosis.options == ("--lr", "0.003")


def test_a_run_with_good_best_weights_has_not_collapsed(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    die_in(2, monkeypatch)
    result = quick_run("--data.val_size", "2000").read_result()
    assert result.scores[1] < 0.15
    assert result.score > 0.5
    assert (result.collapsed, result.collapsed_in) == (False, None)


def test_a_run_that_diverges_collapses_and_has_no_mistakes(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it had some when it was shorter."""
    run = quick_run("--epochs", "1")
    assert run.read_result().mistakes
    die_in(2, monkeypatch, bias=torch.nan)
    fit.main(["--name", "run", "--resume", "--epochs", "2"])
    result = run.read_result()
    assert (result.collapsed, result.collapsed_in, result.mistakes) == (True, 2, None)
    assert not run.mistakes.exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--trainer.limit_val_batches", "1.0"],
        ["--data.val_size", "2000", "--lr", "0.1", "--trainer.limit_test_batches", "1.0"],
    ],
    ids=["last", "best"],
)
def test_the_mistakes_are_those_of_the_final_network(workspace: Path, digits: ImageSets, flags: list[str]) -> None:
    """Of the last one or, with a validation split, of the best."""
    run = quick_run(*flags)
    result = run.read_result()
    final = run.best_checkpoint if "--data.val_size" in flags else run.last_checkpoint
    predicted = load_network(final).logits(digits.test.images).argmax(dim=1)
    answers = enumerate(zip(digits.test.labels.tolist(), predicted.tolist(), strict=True))
    expected = [(image, label, answer) for image, (label, answer) in answers if label != answer]
    with run.mistakes.open() as file:
        assert [tuple(int(row[name]) for name in MISTAKE) for row in csv.DictReader(file)] == expected
    assert result.mistakes == tuple(image for image, _, _ in expected)
    assert 1 - len(expected) / 10_000 == pytest.approx(result.score)


def test_a_network_without_mistakes_leaves_a_file_with_columns() -> None:
    perfect = Evaluation(torch.eye(2), torch.tensor([0, 1]), ("0", "1"))
    assert as_csv(mistakes_of(perfect), MISTAKE) == "image,label,predicted\n"


def test_a_trial_that_was_extended_has_no_mistakes_of_its_own_epochs(workspace: Path) -> None:
    trial = Trial("few", "mlp", (("epochs", "1"), ("trainer.limit_train_batches", "20")), seed=0)
    fit.main([*trial.arguments(), "--trainer.logger", "false"])
    result = trial.result()
    assert result
    assert 1 - len(result.mistakes or ()) / 10_000 == pytest.approx(result.score)
    fit.main(["--name", trial.run.name, "--resume", "--epochs", "2"])
    extended = trial.result()
    assert extended
    assert (len(extended.epochs), extended.mistakes) == (1, None)

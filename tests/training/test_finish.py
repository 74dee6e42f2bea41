"""What a run is known by: whether it collapsed and when, and which images its final network got wrong."""

from pathlib import Path
from typing import Any

import pytest
import torch
from convblocks.comparison.outcomes import read_outcome

from convblocks.comparison.trials import Trial
from convblocks.data.images import ImageSets
from convblocks.errors import UserError
from convblocks.evaluation.trained import load_network
from convblocks.model.classifier import DigitClassifier
from convblocks.runs.directory import Mistake, RunDirectory
from convblocks.training import fit
from tests.training.test_fit import QUICK, train

RUN = [*QUICK, "--arch", "mlp", "--name", "run"]

HEADER = "image,label,predicted\n"


def die_in(epoch: int, monkeypatch: pytest.MonkeyPatch, bias: float = -1e6) -> None:
    """Let all hidden units of an MLP die for good when that epoch begins."""

    @torch.no_grad()
    def die(classifier: DigitClassifier) -> None:
        if classifier.current_epoch + 1 == epoch:
            hidden: Any = classifier.get_submodule("network.layers.1")
            hidden.bias.fill_(bias)

    monkeypatch.setattr(DigitClassifier, "on_train_epoch_start", die)


def test_a_run_that_dies_late_has_collapsed_then(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    die_in(2, monkeypatch)
    train(*RUN, "--epochs", "3")
    summary = RunDirectory("run").read_result()
    accuracies = [row["test/acc"] for row in summary["epochs"]]
    assert accuracies[0] > 0.5
    assert max(accuracies[1:]) < 0.15
    assert (summary["collapsed"], summary["collapsed_in"]) == (True, 2)
    said = capsys.readouterr().out
    assert "collapsed in epoch 2: from then on its accuracy is at most 15 %. All units of relu1 are silent" in said


def test_a_run_whose_best_weights_are_reported_has_not_collapsed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_in(2, monkeypatch)
    train(*RUN, "--data.val_size", "2000")
    summary = RunDirectory("run").read_result()
    assert summary["epochs"][1]["val/acc"] < 0.15
    assert summary["final"]["test/acc"] > 0.5
    assert (summary["collapsed"], summary["collapsed_in"]) == (False, None)


def test_a_run_that_diverges_collapses_and_tells_of_no_mistakes(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a shorter run in the same directory has told of some."""
    train(*RUN, "--epochs", "1")
    run = RunDirectory("run")
    assert run.read_mistakes()
    die_in(2, monkeypatch, bias=torch.nan)
    fit.main(["--name", "run", "--resume", "--epochs", "2"])
    summary = run.read_result()
    assert (summary["collapsed"], summary["collapsed_in"]) == (True, 2)
    assert run.read_mistakes() is None


def test_the_mistakes_are_those_of_the_final_network(workspace: Path, digits: ImageSets) -> None:
    train(*RUN, "--trainer.limit_val_batches", "1.0")
    run = RunDirectory("run")
    mistakes = run.read_mistakes()
    predicted = load_network(run.last_checkpoint).logits(digits.test.images).argmax(dim=1)
    answers = enumerate(zip(digits.test.labels.tolist(), predicted.tolist(), strict=True))
    assert mistakes == [Mistake(image, label, answer) for image, (label, answer) in answers if label != answer]
    assert run.mistakes.read_text().startswith(HEADER)
    assert 1 - len(mistakes) / 10_000 == pytest.approx(run.read_result().final["test/acc"])


def test_with_a_validation_split_they_are_those_of_the_best_network(workspace: Path, digits: ImageSets) -> None:
    train(*RUN, "--data.val_size", "2000", "--lr", "0.1", "--trainer.limit_test_batches", "1.0")
    run = RunDirectory("run")
    right = 1 - len(run.read_mistakes() or []) / 10_000
    assert right == pytest.approx(run.read_result().final["test/acc"])
    predicted = load_network(run.best_checkpoint).logits(digits.test.images).argmax(dim=1)
    assert right == pytest.approx(float((predicted == digits.test.labels).double().mean()))


def test_no_mistakes_are_a_file_too(workspace: Path) -> None:
    run = RunDirectory("run")
    run.create()
    run.write_mistakes([])
    assert run.mistakes.read_text() == HEADER
    assert run.read_mistakes() == []


@pytest.mark.parametrize(
    "content", ["", "image,label\n1,2\n", f"{HEADER}1,2\n", f"{HEADER}1,2,x\n", f"{HEADER}-1,2,3\n"]
)
def test_damaged_mistakes_are_told(workspace: Path, content: str) -> None:
    run = RunDirectory("run")
    run.create()
    run.mistakes.write_text(content)
    with pytest.raises(UserError, match=r"mistakes\.csv: delete summary\.json and resume the run to write both anew"):
        run.read_mistakes()


def test_an_outcome_has_the_mistakes_of_its_run(workspace: Path) -> None:
    trial = Trial("few", "mlp", (("epochs", "1"), ("trainer.limit_train_batches", "20")), seed=0)
    fit.main([*trial.arguments(), "--trainer.logger", "false"])
    outcome = read_outcome(trial)
    assert outcome.mistakes == tuple(mistake.image for mistake in trial.run.read_mistakes() or [])
    assert 1 - len(outcome.mistakes) / 10_000 == pytest.approx(outcome.accuracy)
    fit.main(["--name", trial.run.name, "--resume", "--epochs", "2"])
    assert read_outcome(trial).mistakes is None  # they are of weights that came after

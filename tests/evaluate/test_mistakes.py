"""The images that a run's final network gets wrong."""

import csv
from pathlib import Path

import pytest
import torch

from convblocks.data.images import ImageSets
from convblocks.evaluate.callback import MISTAKE, mistakes_of
from convblocks.model.evaluation import Evaluation
from convblocks.model.restore import load_network
from convblocks.run import fit
from convblocks.text import as_csv
from tests.core.run.test_fit import quick_run
from tests.diagnosis.test_runs import die_in


def test_a_run_that_diverges_collapses_and_has_no_mistakes(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it had some when it was shorter."""
    run = quick_run("--epochs", "1")
    assert run.read_result().facts["mistakes"]
    die_in(2, monkeypatch, bias=torch.nan)
    fit.main(["--name", "run", "--resume", "--epochs", "2"])
    result = run.read_result()
    assert (result.failed, result.facts["collapsed_in"], "mistakes" in result.facts) == (True, 2, False)
    assert not run.mistakes.exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--trainer.limit_val_batches", "1.0"],
        ["--data.val_size", "2000", "--lr", "0.1", "--trainer.limit_test_batches", "1.0"],
    ],
    ids=["last", "best"],
)
def test_the_mistakes_are_those_of_the_final_network(
    workspace: Path, digits: ImageSets, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the last one or, with a validation split, of the best."""
    run = quick_run(*flags)
    result = run.read_result()
    final = run.best_checkpoint if "--data.val_size" in flags else run.last_checkpoint
    predicted = load_network(final).logits(digits.test.images).argmax(dim=1)
    answers = enumerate(zip(digits.test.labels.tolist(), predicted.tolist(), strict=True))
    expected = [(image, label, answer) for image, (label, answer) in answers if label != answer]
    with run.mistakes.open() as file:
        assert [tuple(int(row[name]) for name in MISTAKE) for row in csv.DictReader(file)] == expected
    assert result.facts["mistakes"] == [image for image, _, _ in expected]
    assert 1 - len(expected) / 10_000 == pytest.approx(result.score)
    assert f"\nwrong: {len(expected):,} of 10,000 test images\n" in capsys.readouterr().out


def test_a_network_without_mistakes_leaves_a_file_with_columns() -> None:
    perfect = Evaluation(torch.eye(2), torch.tensor([0, 1]), ("0", "1"))
    assert as_csv(mistakes_of(perfect), MISTAKE) == "image,label,predicted\n"

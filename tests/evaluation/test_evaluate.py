"""How good a checkpoint is, and where it is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from convblocks.data.description import MNIST
from convblocks.data.images import ImageSets
from convblocks.errors import DataError, UserError
from convblocks.evaluation import evaluate
from convblocks.evaluation.measures import Evaluation
from tests.conftest import run_script, write_digits


@pytest.fixture
def evaluation() -> Evaluation:
    """1,000 images, of which a guess of the right class is favoured but not certain."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 10, (1000,), generator=generator)
    logits = torch.randn(1000, 10, generator=generator) + 2 * functional.one_hot(targets, 10)
    return Evaluation(logits, targets, MNIST.classes)


def test_the_measures_are_what_their_names_say(evaluation: Evaluation) -> None:
    predicted, targets = evaluation.predicted.numpy(), evaluation.targets.numpy()
    confusion = np.zeros((10, 10), dtype=int)
    np.add.at(confusion, (targets, predicted), 1)
    right = np.diag(confusion)
    precision, recall = right / confusion.sum(axis=0), right / confusion.sum(axis=1)
    assert np.array_equal(evaluation.confusion.numpy(), confusion)
    assert evaluation.accuracy == right.sum() / 1000
    assert evaluation.precision.numpy() == pytest.approx(precision)
    assert evaluation.recall.numpy() == pytest.approx(recall)
    assert evaluation.f1.numpy() == pytest.approx(2 * precision * recall / (precision + recall))
    assert evaluation.loss == pytest.approx(float(functional.cross_entropy(evaluation.logits, evaluation.targets)))


def test_the_reliability_diagram_shows_the_calibration_error(evaluation: Evaluation) -> None:
    share, confidence, accuracy = evaluation.reliability().T
    assert float(share.sum()) == pytest.approx(1)
    assert float((share * (confidence - accuracy).abs()).sum()) == pytest.approx(evaluation.calibration_error, abs=1e-6)


def test_a_network_that_is_never_wrong_and_always_sure_is_calibrated() -> None:
    targets = torch.arange(10)
    sure = Evaluation(1000.0 * functional.one_hot(targets, 10), targets, MNIST.classes)
    assert sure.calibration_error == 0
    assert sure.reliability().tolist() == [[1, 1, 1]]


@pytest.mark.slow
def test_evaluation_agrees_with_training(trained: Path, tmp_path: Path) -> None:
    finished = run_script("evaluate", str(trained), "--json", cwd=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    answer = json.loads(finished.stdout)
    final = json.loads((trained.parents[1] / "summary.json").read_text())["final"]
    assert answer["n"] == 10_000
    assert answer["accuracy"] == pytest.approx(final["test/acc"], abs=1e-6)
    assert answer["loss"] == pytest.approx(final["test/loss"], rel=1e-4)
    assert np.trace(answer["confusion"]) == round(10_000 * answer["accuracy"])
    assert len(answer["classes"]) == 10


def test_other_data_tables_and_a_picture(
    trained: Path, workspace: Path, digits: ImageSets, capsys: pytest.CaptureFixture[str]
) -> None:
    write_digits(workspace / "Small" / "raw", digits, test=50)
    evaluate.main([str(trained), "--data.root", "Small", "--show", "evaluation.png"])
    text = capsys.readouterr().out
    assert "batchnorm on the 50 test images in Small/raw" in text
    assert "expected calibration error" in text
    assert "Confusion" in text
    with Image.open(workspace / "evaluation.png") as picture:
        assert picture.width > 3 * picture.height


@pytest.mark.parametrize("name", ["missing/evaluation.png", "evaluation.abc"])
def test_a_picture_that_cannot_be_written_is_told(name: str, trained: Path, workspace: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        evaluate.main([str(trained), "--json", "--show", name])
    assert list(workspace.iterdir()) == []


def test_missing_data_is_told(trained: Path, workspace: Path) -> None:
    (workspace / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        evaluate.main([str(trained), "--data.root", "file"])

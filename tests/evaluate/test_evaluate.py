"""The measures of a checkpoint, its tables and its figure."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from torch.nn import functional

from convblocks.data.images import MNIST
from convblocks.errors import UserError
from convblocks.evaluate import command as evaluate
from convblocks.figures import panels
from convblocks.figures.panels import evaluation_charts
from convblocks.model.evaluation import Evaluation
from tests.data.pictures import SHAPES, write_pictures
from tests.scripts import run_script


def guesses(classes: tuple[str, ...], count: int = 1000) -> Evaluation:
    """Random logits that favour the right class."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, len(classes), (count,), generator=generator)
    logits = torch.randn(count, len(classes), generator=generator) + 2 * functional.one_hot(targets, len(classes))
    return Evaluation(logits, targets, classes)


@pytest.fixture
def evaluation() -> Evaluation:
    return guesses(MNIST.classes)


def test_the_measures_match_their_definitions(evaluation: Evaluation) -> None:
    predicted, targets = evaluation.predicted.numpy(), evaluation.targets.numpy()
    confusion = np.zeros((10, 10), dtype=int)
    np.add.at(confusion, (targets, predicted), 1)
    right = np.diag(confusion)
    precision, recall = right / confusion.sum(axis=0), right / confusion.sum(axis=1)
    assert np.array_equal(panels.confusion(evaluation).numpy(), confusion)
    assert evaluation.accuracy == right.sum() / 1000
    classes = evaluate.classes_table(evaluation).numbers()
    for name, expected in (
        ("precision", precision),
        ("recall", recall),
        ("f1", 2 * precision * recall / (precision + recall)),
    ):
        assert [row[name] for row in classes] == pytest.approx(expected)
    assert evaluation.loss == pytest.approx(float(functional.cross_entropy(evaluation.logits, evaluation.targets)))


def test_a_network_that_is_never_wrong_and_always_sure_is_calibrated() -> None:
    targets = torch.arange(10)
    sure = Evaluation(1000.0 * functional.one_hot(targets, 10), targets, MNIST.classes)
    assert panels.calibration_error(sure) == 0
    (calibration,) = evaluation_charts(sure, torch.zeros(10, 1, 8, 8, dtype=torch.uint8))["calibration"].draw().axes
    assert shares(calibration) == [(1, 1)]
    assert evaluate.most_confused(sure) == ""


def test_the_figure_shows_the_numbers_of_the_tables(evaluation: Evaluation) -> None:
    charts = evaluation_charts(evaluation, torch.zeros(1000, 1, 8, 8, dtype=torch.uint8))
    matrix, calibration = (charts[name].draw().axes[0] for name in ("confusion", "calibration"))
    rows = evaluate.confusion_table(evaluation).rows
    cells = {(x, y): cell for y, row in enumerate(rows) for x, cell in enumerate(row[1:]) if cell}
    assert {text.get_position(): text.get_text() for text in matrix.texts} == cells
    confidence, accuracy = np.transpose(shares(calibration))
    counts = np.bincount(np.ceil(15 * evaluation.logits.softmax(dim=1).amax(dim=1).numpy()).astype(int))
    distances = counts[counts > 0] / 1000 * abs(confidence - accuracy)
    assert distances.sum() == pytest.approx(panels.calibration_error(evaluation), abs=1e-6)


def shares(axes: Axes) -> list[tuple[float, float]]:
    """The dots of a panel."""
    dots = [line for line in axes.lines if line.get_gid() == "shares"]
    return [(float(np.asarray(dot.get_xdata())[0]), float(np.asarray(dot.get_ydata())[0])) for dot in dots]


def test_the_most_frequent_mistakes_are_named_also_of_too_many_classes_for_a_matrix() -> None:
    targets = torch.tensor([1] * 5 + [7] * 5)
    predicted = torch.tensor([8, 8, 8, 1, 1, 7, 7, 7, 2, 2])
    evaluation = Evaluation(functional.one_hot(predicted, 10).float(), targets, MNIST.classes)
    assert evaluate.most_confused(evaluation) == "1 as 8 (3), 7 as 2 (2)"
    assert evaluate.most_confused(guesses(MNIST.classes)).count(" as ") == 5
    names = tuple(f"class {number}" for number in range(100))
    evaluation = Evaluation(functional.one_hot(predicted, 100).float(), targets, names)
    assert [table.title for table in evaluate.tables(evaluation)] == ["Classes"]
    assert evaluate.most_confused(evaluation) == "class 1 as class 8 (3), class 7 as class 2 (2)"


def test_a_class_without_test_images_has_no_measures() -> None:
    evaluation = Evaluation(torch.eye(3)[:2], torch.tensor([0, 1]), ("a", "b", "c"))
    assert evaluate.classes_table(evaluation).cells[2] == ["c", "0", "-", "-", "-"]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_hardest_images_are_shown_in_their_colours(channels: int) -> None:
    images = torch.randint(256, (10, channels, 8, 6), dtype=torch.uint8)
    evaluation = guesses(MNIST.classes, 10)
    panels = evaluation_charts(evaluation, images)["hardest_images"].draw().axes
    hardest = evaluation.losses.argsort(descending=True)[:9]
    for panel, index in zip(panels, hardest, strict=True):
        assert np.array_equal(np.asarray(panel.images[0].get_array()), images[index].expand(3, -1, -1).permute(1, 2, 0))


@pytest.mark.slow
def test_the_evaluation_of_a_run_agrees_with_its_training(trained: Path, tmp_path: Path) -> None:
    finished = run_script("evaluate", str(trained), "--json", cwd=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    answer = json.loads(finished.stdout)
    final = json.loads((trained.parents[1] / "summary.json").read_text())["final"]
    assert answer["n"] == 10_000
    assert answer["accuracy"] == pytest.approx(final["test/acc"], abs=1e-6)
    assert answer["loss"] == pytest.approx(final["test/loss"], rel=1e-4)
    assert np.trace(answer["confusion"]) == round(10_000 * answer["accuracy"])
    assert len(answer["classes"]) == 10


def test_the_command_prints_tables_and_a_confusion_matrix_that_fits(
    trained_on_shapes: Path, shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(trained_on_shapes), "--data.root", str(shapes)]
    evaluate.main(command)
    text = capsys.readouterr().out
    assert "batchnorm on the 60 test images in " in text
    assert re.search(r"\naccuracy [\d.]+ % \(\d+ of 60 wrong\), loss [\d.]+, calibration error [\d.]+ %\n$", text)
    assert all(f"\n{name} " in text for name in SHAPES)
    assert "Confusion" not in text
    evaluate.main([*command, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert [one["class"] for one in answer["classes"]] == sorted(SHAPES)
    assert answer["accuracy"] > 0.8
    assert (answer["n"], np.array(answer["confusion"]).shape) == (60, (12, 12))


def test_pictures_of_another_size_are_scaled_to_the_networks(
    trained_on_shapes: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(Path("large"), classes=tuple(SHAPES), train=12, test=24, size=(64, 80))
    evaluate.main([str(trained_on_shapes), "--data.root", "large", "--json"])
    assert json.loads(capsys.readouterr().out)["n"] == 24


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "was trained on 3 x 32 x 40 pixels, 12 classes .backslash, bar, .*holds 1 x 28 x 28 pixels, 10 classes"),
        (["--data.root", "nowhere"], "there is no folder nowhere: --data.root must name"),
        (["--data.root", "untested"], r"untested has no test images: add some, .*test/<class>/"),
        (["--data.source", "Stripes"], "'Stripes' is not the name of a class with its module"),
    ],
)
def test_other_data_are_refused(flags: list[str], message: str, trained_on_shapes: Path, workspace: Path) -> None:
    write_pictures(Path("untested"), classes=tuple(SHAPES), train=12, test=0)
    with pytest.raises(UserError, match=message):
        evaluate.main([str(trained_on_shapes), *flags])
    assert not Path("nowhere").exists()

"""The measures of a checkpoint, its tables and its figure."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch.nn import functional

from convblocks.data.images import MNIST, ImageSets
from convblocks.errors import DataError, UserError
from convblocks.evaluation import evaluate
from convblocks.figures.evaluation import evaluation_panels, figure_of
from convblocks.figures.style import render
from convblocks.model.evaluation import Evaluation
from tests.conftest import write_digits
from tests.data.pictures import SHAPES, write_pictures
from tests.looks import overlapping, shown
from tests.scripts import run_script

LONG_NAMES = tuple(f"the {name} of a rather long name, which costs ${number}" for number, name in enumerate(SHAPES))


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
    assert np.array_equal(evaluation.confusion.numpy(), confusion)
    assert evaluation.accuracy == right.sum() / 1000
    assert evaluation.precision.numpy() == pytest.approx(precision)
    assert evaluation.recall.numpy() == pytest.approx(recall)
    assert evaluation.f1.numpy() == pytest.approx(2 * precision * recall / (precision + recall))
    assert evaluation.loss == pytest.approx(float(functional.cross_entropy(evaluation.logits, evaluation.targets)))


def test_the_reliability_diagram_shows_the_calibration_error(evaluation: Evaluation) -> None:
    counts, confidence, accuracy = evaluation.reliability().T
    assert counts.sum() == 1000
    error = float((counts / 1000 * (confidence - accuracy).abs()).sum())
    assert error == pytest.approx(evaluation.calibration_error, abs=1e-6)


def panel_of(evaluation: Evaluation, panel: str) -> Axes:
    """A panel, of black images."""
    images = torch.zeros(len(evaluation.targets), 1, 8, 8, dtype=torch.uint8)
    (axes,) = figure_of(evaluation_panels(evaluation, images)[panel]).axes
    return axes


def rendered(evaluation: Evaluation, *shape: int) -> Figure:
    """The figure of random images of that shape, with its text laid out."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (len(evaluation.targets), *shape), dtype=torch.uint8, generator=generator)
    figure = render(partial(figure_of, *evaluation_panels(evaluation, images).values()))
    figure.canvas.draw()
    return figure


def test_the_counts_in_the_matrix_are_those_of_the_table(evaluation: Evaluation) -> None:
    counts = {text.get_position(): text.get_text() for text in panel_of(evaluation, "confusion").texts}
    rows = evaluate.confusion_table(evaluation).rows
    assert counts == {(x, y): cell for y, row in enumerate(rows) for x, cell in enumerate(row[1:]) if cell}


def test_errors_of_classes_and_recall_add_up_to_1(evaluation: Evaluation) -> None:
    dots = np.asarray(panel_of(evaluation, "class_errors").collections[1].get_offsets())
    recall = [row[3] for row in evaluate.classes_table(evaluation).rows]
    assert [f"{100 - error:.2f} %" for error in dots[:, 1]] == recall


def test_errors_of_classes_are_drawn_on_an_axis_from_0(evaluation: Evaluation) -> None:
    axes = panel_of(evaluation, "class_errors")
    dots = np.asarray(axes.collections[1].get_offsets())
    assert dots[:, 1] == pytest.approx(100 * (1 - evaluation.recall.numpy()), abs=1e-4)
    assert axes.get_ylim()[0] == 0


def test_calibration_of_few_images_is_faded(evaluation: Evaluation) -> None:
    counts, confidence, accuracy = evaluation.reliability().T.numpy()
    _, many, _, few = panel_of(evaluation, "calibration").collections
    assert (many.get_alpha(), few.get_alpha()) == (1, 0.35)
    for dots, of_these in ((many, counts >= 30), (few, counts < 30)):
        assert of_these.any()
        assert np.asarray(dots.get_offsets()) == pytest.approx(np.stack([confidence, accuracy], axis=1)[of_these])


def test_the_most_frequent_mistakes_are_named() -> None:
    targets = torch.tensor([1] * 5 + [7] * 5)
    predicted = torch.tensor([8, 8, 8, 1, 1, 7, 7, 7, 2, 2])
    some = Evaluation(functional.one_hot(predicted, 10).float(), targets, MNIST.classes)
    assert evaluate.most_confused(some) == "1 as 8 (3), 7 as 2 (2)"
    assert evaluate.most_confused(guesses(MNIST.classes)).count(" as ") == 5
    assert evaluate.most_confused(Evaluation(torch.eye(10), torch.arange(10), MNIST.classes)) == ""


def test_a_network_that_is_never_wrong_and_always_sure_is_calibrated() -> None:
    targets = torch.arange(10)
    sure = Evaluation(1000.0 * functional.one_hot(targets, 10), targets, MNIST.classes)
    assert sure.calibration_error == 0
    assert sure.reliability().tolist() == [[10, 1, 1]]


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


def test_the_command_prints_tables_and_draws_a_figure(
    trained: Path, workspace: Path, digits: ImageSets, capsys: pytest.CaptureFixture[str]
) -> None:
    write_digits(workspace / "Small" / "raw", digits, test=50)
    evaluate.main([str(trained), "--data.root", "Small", "--show", "evaluation.png"])
    text = capsys.readouterr().out
    assert "batchnorm on the 50 test images in Small/raw" in text
    assert "Confusion" in text
    assert "\nevaluation.png: confusion matrix, hardest images, calibration, errors of each class\n" in text
    assert re.search(r"\naccuracy [\d.]+ % \(\d+ of 50 wrong\), loss [\d.]+, calibration error [\d.]+ %\n$", text)
    with Image.open(workspace / "evaluation.png") as picture:
        assert picture.width == 1600


@pytest.mark.parametrize("name", ["missing/evaluation.png", "evaluation.abc"])
def test_a_figure_that_cannot_be_written_is_an_error(name: str, trained: Path, workspace: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        evaluate.main([str(trained), "--json", "--show", name])
    assert list(workspace.iterdir()) == []


def test_missing_data_is_an_error(trained: Path, workspace: Path) -> None:
    (workspace / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        evaluate.main([str(trained), "--data.root", "file"])


def test_twelve_classes_of_colour_pictures_are_named(
    trained_on_shapes: Path, shapes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.main([str(trained_on_shapes), "--data.root", str(shapes)])
    classes, confusion = capsys.readouterr().out.split("Confusion")
    for number, name in enumerate(sorted(SHAPES), start=1):
        assert f"│ {name} " in classes
        assert f"│ {number} {name} " in confusion


def test_json_names_the_classes(trained_on_shapes: Path, shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate.main([str(trained_on_shapes), "--data.root", str(shapes), "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert [one["class"] for one in answer["classes"]] == sorted(SHAPES)
    assert answer["accuracy"] > 0.8
    assert (answer["n"], np.array(answer["confusion"]).shape) == (60, (12, 12))


def test_pictures_of_another_size_are_scaled_to_the_network_s(
    trained_on_shapes: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(Path("large"), classes=tuple(SHAPES), train=12, test=24, size=(64, 80))
    evaluate.main([str(trained_on_shapes), "--data.root", "large", "--json"])
    assert json.loads(capsys.readouterr().out)["n"] == 24


def test_data_of_another_kind_is_a_one_line_error(trained_on_shapes: Path) -> None:
    with pytest.raises(DataError) as error:
        evaluate.main([str(trained_on_shapes)])
    assert "was trained on 3 x 32 x 40 pixels, 12 classes (backslash, bar, " in str(error.value)
    assert "holds 1 x 28 x 28 pixels, 10 classes" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data.root", "nowhere"], "there is no folder nowhere: give the data that .* was trained on"),
        (["--data.source", "Stripes"], "Stripes is not imported: give its module too"),
    ],
)
def test_data_that_cannot_be_found_is_an_error(
    flags: list[str], message: str, trained_on_shapes: Path, workspace: Path
) -> None:
    with pytest.raises(UserError, match=message):
        evaluate.main([str(trained_on_shapes), *flags])
    assert not Path("nowhere").exists()


def test_a_class_without_test_images_has_no_measures() -> None:
    evaluation = Evaluation(torch.eye(3)[:2], torch.tensor([0, 1]), ("a", "b", "c"))
    assert evaluate.classes_table(evaluation).rows[2] == ["c", "0", "-", "-", "-"]
    rendered(evaluation, 1, 8, 8)


def test_pictures_without_a_test_set_are_an_error(trained_on_shapes: Path, workspace: Path) -> None:
    write_pictures(Path("untested"), classes=tuple(SHAPES), train=12, test=0)
    with pytest.raises(DataError, match=r"untested has no test images: add some, .*test/<class>/"):
        evaluate.main([str(trained_on_shapes), "--data.root", "untested"])


@pytest.mark.parametrize("classes", [MNIST.classes, ("no", "yes"), LONG_NAMES[:2], tuple(SHAPES), LONG_NAMES])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 40), (3, 40, 16)])
def test_texts_of_the_panels_do_not_overlap(classes: tuple[str, ...], shape: tuple[int, int, int]) -> None:
    assert overlapping(rendered(guesses(classes, count=200), *shape)) == []


def test_class_names_are_not_parsed_as_formulas() -> None:
    figure = rendered(guesses(("$a_$", "$b_$"), count=50), 1, 8, 8)
    assert [text.get_text() for text, _ in shown(figure)].count("$a_$") == 3


def test_too_many_classes_for_a_confusion_matrix_leave_the_most_frequent_mistakes() -> None:
    names = tuple(f"class {number}" for number in range(100))
    targets = torch.arange(100)
    predicted = targets.clone()
    predicted[7] = 9
    evaluation = Evaluation(functional.one_hot(predicted, 100).float(), targets, names)
    _, mistakes = evaluate.tables(evaluation)
    assert mistakes.rows == [["class 7", "class 9", "1"]]
    assert evaluate.most_confused(evaluation) == "class 7 as class 9 (1)"

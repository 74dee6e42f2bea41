"""The measures of a checkpoint, its tables and its figures; and the mistakes that a run records."""

import csv
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from convblocks.data.images import MNIST, ImageSets
from convblocks.errors import UserError
from convblocks.evaluate import command as evaluate
from convblocks.evaluate.callback import MISTAKE, mistakes_of
from convblocks.figures import panels
from convblocks.figures.panels import evaluation_charts
from convblocks.model.restore import Evaluation, load_network
from convblocks.run import fit
from convblocks.text import as_csv
from tests.core.run.test_fit import TENSORBOARD, quick_run
from tests.data.pictures import SHAPES, write_pictures
from tests.diagnosis.test_runs import die_in
from tests.scripts import run_script


def guesses(classes: tuple[str, ...], count: int = 1000) -> Evaluation:
    """Random logits that favour the right class."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, len(classes), (count,), generator=generator)
    logits = torch.randn(count, len(classes), generator=generator) + 2 * functional.one_hot(
        targets, len(classes)
    )
    return Evaluation(logits, targets, classes)


def test_measures_and_figures_match_their_definitions() -> None:
    evaluation = guesses(MNIST.classes)
    predicted, targets = evaluation.predicted.numpy(), evaluation.targets.numpy()
    confusion = np.zeros((10, 10), dtype=int)
    np.add.at(confusion, (targets, predicted), 1)
    right = np.diag(confusion)
    precision, recall = right / confusion.sum(axis=0), right / confusion.sum(axis=1)
    assert np.array_equal(panels.confusion(evaluation).numpy(), confusion)
    assert evaluation.accuracy == right.sum() / 1000
    measures = {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall),
    }
    for name, expected in measures.items():
        assert [row[name] for row in evaluate.classes_table(evaluation).numbers()] == pytest.approx(
            expected
        )
    assert evaluation.loss == pytest.approx(
        float(functional.cross_entropy(evaluation.logits, evaluation.targets))
    )
    charts = evaluation_charts(evaluation, torch.zeros(1000, 1, 8, 8, dtype=torch.uint8))
    matrix, calibration = (charts[name].draw().axes[0] for name in ("confusion", "calibration"))
    rows = evaluate.confusion_table(evaluation).rows
    cells = {(x, y): cell for y, row in enumerate(rows) for x, cell in enumerate(row[1:]) if cell}
    assert {text.get_position(): text.get_text() for text in matrix.texts} == cells
    dots = [line.get_data() for line in calibration.lines if line.get_gid() == "shares"]
    confidence, accuracy = np.array(dots)[:, :, 0].T
    counts = np.bincount(
        np.ceil(15 * evaluation.logits.softmax(dim=1).amax(dim=1).numpy()).astype(int)
    )
    distances = counts[counts > 0] / 1000 * abs(confidence - accuracy)
    assert distances.sum() == pytest.approx(panels.calibration_error(evaluation), abs=1e-6)


def test_hardest_images_are_mistakes() -> None:
    logits = torch.tensor([[0.1, 0.0], [0.0, 4.0], [5.0, 0.0], [0.0, 6.0]])
    # The first is right, if hardly.
    evaluation = Evaluation(logits, torch.tensor([0, 0, 0, 1]), ("a", "b"))
    figure = panels.hardest_figure(evaluation, torch.zeros(4, 1, 8, 8, dtype=torch.uint8))
    assert [axes.get_title() for axes in figure.axes if axes.images] == [
        "a\N{NO-BREAK SPACE}→ b (98\N{NO-BREAK SPACE}%)"
    ]


def test_measures_of_a_perfect_network_and_of_a_class_without_images() -> None:
    targets = torch.arange(10)
    sure = Evaluation(1000.0 * functional.one_hot(targets, 10), targets, MNIST.classes)
    assert panels.calibration_error(sure) == 0
    assert panels.confusion_figure(sure).axes[0].get_title() == "No mistakes"
    assert as_csv(mistakes_of(sure), MISTAKE) == "image,label,predicted\n"
    evaluation = Evaluation(torch.eye(3)[:2], torch.tensor([0, 1]), ("a", "b", "c"))
    assert evaluate.classes_table(evaluation).cells[2] == ["c", "0", "-", "-", "-"]


def test_evaluate_agrees_with_the_training(
    trained: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.main([str(trained)])
    final = json.loads((trained.parents[1] / "summary.json").read_text())["final"]
    accuracy, loss = f"{100 * final['test/acc']:.2f} %", f"{final['test/loss']:.4f}"
    assert re.search(
        rf"\naccuracy {accuracy} \([\d,]+ of 10,000 wrong\), loss {loss},", capsys.readouterr().out
    )


def test_evaluate_draws_the_confusion_matrix_into_a_file(
    trained: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.main([str(trained), "--json", "--figure", "confusion.svg"])
    most = re.search(
        r"Most often: (\d) taken for (\d) \((\d+)\)", Path("confusion.svg").read_text()
    )
    assert most
    true, predicted, count = map(int, most.groups())
    counts = np.array(json.loads(capsys.readouterr().out)["confusion"])
    mistakes = counts - np.diag(np.diag(counts))
    assert mistakes[true, predicted] == mistakes.max() == count


def test_evaluate_refuses_the_format_of_a_figure_before_it_reads_the_checkpoint() -> None:
    with pytest.raises(UserError, match=r"--figure f\.gif: its name must end in one of"):
        evaluate.main(["none.ckpt", "--figure", "f.gif"])


def test_evaluate_prints_tables_of_pictures_of_any_size(
    trained_on_shapes: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(Path("large"), classes=tuple(SHAPES), train=12, test=24, size=(64, 80))
    evaluate.main([str(trained_on_shapes), "--data.root", "large"])
    text = capsys.readouterr().out
    assert "batchnorm on the 24 test images in " in text
    assert re.search(
        r"\naccuracy [\d.]+ % \(\d+ of 24 wrong\), loss [\d.]+, calibration error [\d.]+ %\n$", text
    )
    assert all(f"\n{name} " in text for name in SHAPES)
    assert "Confusion" not in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            [],
            "was trained on 3 x 32 x 40 pixels, 12 classes .backslash, bar, .*"
            "holds 1 x 28 x 28 pixels, 10 classes",
        ),
        (["--data.root", "untested"], r"untested has no test images: add some, .*test/<class>/"),
        (["--data.source", "Stripes"], "'Stripes' is not the name of a class with its module"),
    ],
)
def test_evaluate_refuses_other_data(
    flags: list[str], message: str, trained_on_shapes: Path, workspace: Path
) -> None:
    write_pictures(Path("untested"), classes=tuple(SHAPES), train=12, test=0)
    with pytest.raises(UserError, match=message):
        evaluate.main([str(trained_on_shapes), *flags])


@pytest.mark.parametrize(
    "hyper_parameters", [{}, {"hyper_parameters": {"width": 3}}], ids=["none", "some"]
)
def test_evaluate_of_a_module_says_what_to_do_instead(
    hyper_parameters: dict[str, Any], workspace: Path
) -> None:
    checkpoint = Path("run/checkpoints/last.ckpt")
    checkpoint.parent.mkdir(parents=True)
    Path("run/config.yaml").touch()
    torch.save(
        {"state_dict": {}, "pytorch-lightning_version": "2.6.6", **hyper_parameters}, checkpoint
    )
    message = (
        f"{checkpoint} holds a LightningModule, not an image classifier: in Python its "
        f"load_from_checkpoint restores it, .*: convblocks test {checkpoint}$"
    )
    for name in ("run", str(checkpoint)):
        with pytest.raises(UserError, match=f"^{message}"):
            evaluate.main([name])


def test_evaluate_reads_objects_only_if_it_is_told_so(
    trained: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(torch.load(trained) | {"more": Path("object")}, "own.ckpt")
    with pytest.raises(UserError, match=r"--weights_only false trusts a checkpoint of your own$"):
        evaluate.main(["own.ckpt"])
    evaluate.main([str(trained), "--json"])
    measures = capsys.readouterr().out
    evaluate.main(["own.ckpt", "--weights_only", "false", "--json"])
    assert capsys.readouterr().out == measures


def test_evaluate_finds_the_classes_of_objects_in_the_current_folder(
    trained: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own_object.py").write_text("class Own: ...")
    words = ["own.ckpt", "--weights_only", "false", "--json"]
    with monkeypatch.context() as patch:
        patch.syspath_prepend(workspace)
        own = import_module("own_object").Own()
        torch.save(torch.load(trained) | {"more": own}, "own.ckpt")
    monkeypatch.delitem(sys.modules, "own_object")
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    evaluate.main(words)
    del sys.modules["own_object"]
    Path("own_object.py").unlink()
    with pytest.raises(UserError, match=r"^cannot load own\.ckpt: No module named 'own_object'$"):
        evaluate.main(words)


def test_mistakes_are_gone_if_a_resumed_run_diverges(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = quick_run("--epochs", "1")
    assert run.read_result().facts["mistakes"]
    die_in(2, monkeypatch, bias=torch.nan)
    fit.main(["--name", "run", "--resume", "--epochs", "2"])
    result = run.read_result()
    assert (result.failed, result.facts["collapsed_in"], "mistakes" in result.facts) == (
        True,
        2,
        False,
    )
    assert not run.mistakes.exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--trainer.limit_val_batches", "1.0"],
        ["--data.val_size", "2000", "--lr", "0.1", "--trainer.limit_test_batches", "1.0"],
    ],
    ids=["last", "best"],
)
def test_mistakes_are_those_of_the_final_network(
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
        assert [
            tuple(int(row[name]) for name in MISTAKE) for row in csv.DictReader(file)
        ] == expected
    assert result.facts["mistakes"] == [image for image, _, _ in expected]
    assert 1 - len(expected) / 10_000 == pytest.approx(result.score)
    assert f"\nwrong: {len(expected):,} of 10,000 test images\n" in capsys.readouterr().out


@pytest.mark.slow
def test_network_of_a_users_own_is_trained_and_evaluated_but_imported_only_if_allowed(
    own_networks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = quick_run("--arch", "own_networks.Rows", *TENSORBOARD)
    assert run.result_after(2)
    assert not [
        column for row in run.read_result().epochs for column in row if column.startswith("dead/")
    ]
    printed = capsys.readouterr().out
    assert "dead units" not in printed
    assert "--arch own_networks.Rows" in printed
    evaluate.main([str(run.last_checkpoint), "--arch", "own_networks.Rows"])
    assert "own_networks.Rows on the 10,000 test images" in capsys.readouterr().out
    own_networks.write_text("raise ImportError('imported')")
    for command in (["predict", "picture.png"], ["export"], ["demo", "--port", "0"]):
        refused = run_script(
            command[0], str(run.last_checkpoint), *command[1:], cwd=own_networks.parent
        )
        assert refused.stderr.endswith(
            "of the class 'own_networks.Rows': allow its import with --arch and this name\n"
        )

"""A module and its data say how a run is judged, evaluated, printed and recognised, whatever they are."""

from dataclasses import replace
from pathlib import Path

import pytest

from convblocks.data.images import ImageSets, ImageSpec
from convblocks.data.module import ImageDataModule
from convblocks.errors import DataError, Stopped, UsageError
from convblocks.model.classifier import ImageClassifier
from convblocks.run import fit
from convblocks.run.config import Config
from convblocks.run.directory import RunDirectory
from convblocks.run.judge import ACCURACY, Judge
from convblocks.run.metrics_log import heading, printed_columns
from convblocks.run.run import Run
from tests.any_task.shapes import Segmenter, Shapes
from tests.any_task.stop import Signal, forget_signal
from tests.any_task.tasks import options_of
from tests.conftest import DEBUG, write_digits
from tests.core.run.test_fit import QUICK, assert_same_weights, metric_rows, quick_run

# torchdata calls what torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")

IOU, LOSS = Judge("val/iou", "max"), Judge("val/loss", "min")
CLASSIFIER = ["--model", "convblocks.ImageClassifier", "--model.arch", "mlp"]


def without_judge(*flags: str) -> Config:
    """A config of a task without a --judge."""
    config = Config.parse([*options_of("shapes"), *flags])
    return replace(config, settings={name: value for name, value in config.settings.items() if name != "judge"})


def test_judge_of_images_may_be_an_option_as_of_any_task(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = quick_run(name="images")
    printed = capsys.readouterr().out
    parts = [*CLASSIFIER, "--data", "convblocks.MNISTDataModule", "--judge", "test/acc:max:%"]
    fit.main([*DEBUG, *parts, *QUICK, "--name", "task"])
    task = RunDirectory("task")
    assert_same_weights(run, task)
    assert metric_rows(run) == metric_rows(task)
    expected, result = run.read_result(), task.read_result()
    assert (result.arch, result.final, result.facts) == (expected.arch, expected.final, expected.facts)
    score = next(line for line in printed.splitlines() if line.startswith("test accuracy"))
    assert score.partition(" in ")[0] in capsys.readouterr().out


def test_judge_is_what_the_module_says_unless_an_option_does(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--model needs the metric to judge it by"):
        Run(without_judge())
    monkeypatch.setattr(Segmenter, "monitor", "val_loss", raising=False)  # which others use for something else
    run = Run(Config.parse(options_of("shapes")))
    assert (run.judge, run.monitor) == (IOU, IOU)
    monkeypatch.setattr(Segmenter, "monitor", "val/loss:min")
    monkeypatch.setattr(Segmenter, "judge", "val/dice:max:%", raising=False)
    run = Run(without_judge())
    assert (run.judge, run.monitor) == (Judge("val/dice", "max", in_percent=True), LOSS)
    run = Run(Config.parse(options_of("shapes")))
    assert (run.judge, run.monitor, run.keeps_best) == (IOU, LOSS, True)
    assert (Judge.parse(ImageClassifier.judge), Judge.parse(ImageClassifier.monitor)) == (ACCURACY, LOSS)


def test_best_checkpoint_is_not_chosen_by_test_data(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shapes, "evaluation_split", "test", raising=False)
    assert Run(Config.parse(options_of("shapes"))).keeps_best is False
    assert Run(Config.parse(["--arch", "mlp"])).keeps_best is False
    assert Run(Config.parse(["--arch", "mlp", "--data.val_size", "9"])).keeps_best is True


def test_resume_recognises_any_data_by_their_fingerprint(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shapes, "fingerprint", {"drawings": "1", "masks": "1"}, raising=False)
    with pytest.raises(Stopped):
        fit.main([*options_of("shapes"), "--name", "run"], [Signal(27)])
    forget_signal()
    monkeypatch.setattr(Shapes, "fingerprint", {"drawings": "1", "masks": "2"})
    with pytest.raises(DataError, match="was begun with another masks than Shapes holds: restore the data"):
        fit.main(["--name", "run", "--resume"])
    monkeypatch.setattr(Shapes, "fingerprint", {"drawings": "1", "masks": "1"})
    fit.main(["--name", "run", "--resume"])
    assert RunDirectory("run").read_result().provenance.data == {"drawings": "1", "masks": "1"}


def test_image_spec_of_the_data_is_given_to_the_model(workspace: Path, digits: ImageSets) -> None:
    write_digits(workspace / "digits", digits)
    data = ["--data", f"{__name__}.Renamed", "--data.root", "digits"]
    run = Run(Config.parse([*CLASSIFIER, *data, "--judge", "test/acc:max"]))
    assert run.module.hparams["image_spec"]["classes"] == ["a", "b", *"23456789"]


class Renamed(ImageDataModule):
    """Digits, two of which have other names."""

    @property
    def image_spec(self) -> ImageSpec:
        return replace(super().image_spec, classes=("a", "b", *"23456789"))


@pytest.mark.parametrize(
    ("judge", "monitor", "split", "expected"),
    [
        (ACCURACY, LOSS, "test", "train/loss train/acc test/loss test/acc"),
        (ACCURACY, LOSS, "val", "train/loss train/acc val/loss val/acc"),
        (IOU, IOU, "val", "train/loss val/iou"),
        (IOU, LOSS, "val", "train/loss val/loss val/iou"),
        (Judge("val_f1", "max"), Judge("val_f1", "max"), "val", "train/loss val_f1"),
        (Judge("test/iou", "max"), Judge("test/iou", "max"), "val", "train/loss"),
    ],
)
def test_row_has_a_column_of_each_judged_metric(judge: Judge, monitor: Judge, split: str, expected: str) -> None:
    assert heading(printed_columns(judge, monitor, split), 3).split() == ["epoch", *expected.split(), "time"]

"""A user's module and data are trained, judged, evaluated, printed and recognised as they say."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convblocks.errors import DataError, UserError
from convblocks.model.classifier import ImageClassifier
from convblocks.record.directory import RunDirectory
from convblocks.record.judge import ACCURACY, Judge, Judges
from convblocks.run import fit
from convblocks.run.make import make_run
from convblocks.run.metrics_log import printed_columns
from convblocks.settings.config import Config
from tests.any_task.shapes import Segmenter, Shapes
from tests.any_task.tasks import HERE, TASKS, options_of
from tests.core.run.subjects import unlike
from tests.core.run.test_resume import fit_until

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:.*this fit will run with no optimizer"),
]

IOU, LOSS = Judge("val/iou", "max"), Judge("val/loss", "min")


@pytest.mark.parametrize("task", TASKS)
def test_task_is_learned(task: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit.main([*options_of(task), "--name", "run"])
    run = RunDirectory("run")
    result, (*_, steps, limit) = run.read_result(), TASKS[task]
    judge = result.judged_by
    assert judge.sign * (result.score - limit) > 0
    assert [row["step"] for row in result.epochs] == [steps, 2 * steps, 3 * steps]
    columns = ["epoch", "step", "seconds", "train/lr", "train/loss", judge.metric]
    assert run.metrics.read_text().splitlines()[0].split(",") == columns  # none of classification
    assert f"{result.score_name} {judge.text(result.score)}, 3 epochs" in capsys.readouterr().out


def test_judge_is_written_as_it_is_read_and_in_per_cent_only_if_it_says_so() -> None:
    judge = Judge.parse("val/acc:max")
    assert (judge.text(97.5), judge.number(0.975), ACCURACY.text(0.975)) == (
        "97.5",
        "0.975",
        "97.50 %",
    )
    assert Judge.parse("val/acc:max:%") == ACCURACY
    assert [str(Judge.parse(text)) for text in ("val/acc:max:%", "val/a:b:min")] == [
        "val/acc:max:%",
        "val/a:b:min",
    ]


def test_judge_is_of_test_data_only_if_its_name_has_that_split() -> None:
    names = ["test/iou", "test_iou", "testing_loss", "tests/iou", "val/test"]
    of_test = [name for name in names if Judge(name, "max").is_of_test]
    assert of_test == ["test/iou", "test_iou"]


def test_judge_is_what_the_module_says_unless_an_option_does(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config.parse(options_of("shapes"))
    unjudged = replace(
        config, settings={name: value for name, value in config.settings.items() if name != "judge"}
    )
    # which others use for something else
    monkeypatch.setattr(Segmenter, "monitor", "val_loss", raising=False)
    run = make_run(config)
    assert (run.judges.judge, run.judges.monitor) == (IOU, IOU)
    monkeypatch.setattr(Segmenter, "monitor", "val/loss:min")
    monkeypatch.setattr(Segmenter, "judge", "val/dice:max:%", raising=False)
    run = make_run(unjudged)
    assert (run.judges.judge, run.judges.monitor) == (
        Judge("val/dice", "max", in_percent=True),
        LOSS,
    )
    run = make_run(config)
    assert (run.judges.judge, run.judges.monitor, run.best is not None) == (IOU, LOSS, True)
    assert (Judge.parse(ImageClassifier.judge), Judge.parse(ImageClassifier.monitor)) == (
        ACCURACY,
        LOSS,
    )


def test_best_checkpoint_is_not_chosen_by_test_data(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shapes, "evaluation_split", "test", raising=False)
    assert make_run(Config.parse(options_of("shapes"))).best is None
    assert make_run(Config.parse(["--arch", "mlp"])).best is None
    assert make_run(Config.parse(["--arch", "mlp", "--data.val_size", "9"])).best is not None


def test_resume_recognises_any_data_by_their_fingerprint(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shapes, "fingerprint", {"drawings": "1", "masks": "1"}, raising=False)
    fit_until(27, [*options_of("shapes"), "--name", "run"])
    monkeypatch.setattr(Shapes, "fingerprint", {"drawings": "1", "masks": "2"})
    with pytest.raises(
        DataError, match="was begun with another masks than Shapes holds: restore the data"
    ):
        fit.main(["--name", "run", "--resume"])
    monkeypatch.setattr(Shapes, "fingerprint", {"drawings": "1", "masks": "1"})
    fit.main(["--name", "run", "--resume"])
    assert RunDirectory("run").read_result().provenance.data == {"drawings": "1", "masks": "1"}


def test_resume_names_a_parameter_group_that_training_adds(workspace: Path) -> None:
    fit.main([*unlike("Thawing"), "--name", "run"])
    with pytest.raises(
        UserError, match="loaded state dict has a different number of parameter groups"
    ):
        fit.main(["--name", "run", "--resume", "--epochs", "4"])


def test_checkpoint_is_kept_of_epochs_without_a_step(workspace: Path) -> None:
    fit.main([*unlike("Untrained"), "--model.manual", "true", "--name", "run"])
    assert RunDirectory("run").last_checkpoint.is_file()


@pytest.mark.parametrize("interval", ["1.0", "0.5"])
def test_best_checkpoint_has_the_weights_that_a_module_swaps_back(
    interval: str, workspace: Path
) -> None:
    """In its own hook, which comes after those of callbacks."""
    task = ["--model", f"{HERE}.averaged.Averaged", "--data", f"{HERE}.regression.Points"]
    options = ["--epochs", "3", "--trainer.val_check_interval", interval]
    fit.main([*task, *options, "--judge", "val/rmse:min", "--name", "run"])
    run = RunDirectory("run")
    saved = torch.load(run.best_checkpoint, weights_only=True)
    assert saved["state_dict"]["averages._extra_state"] is True
    result = run.read_result()
    best = min(row["val/rmse"] for row in (*result.epochs, *result.evaluations))
    assert result.final["val/rmse"] == best
    assert "test/rmse" in result.final


def test_metric_of_every_other_epoch_is_nan_in_the_others(workspace: Path) -> None:
    fit.main([*unlike("Seldom"), "--model.nan", "true", "--name", "run"])
    result, run = RunDirectory("run").read_result(), RunDirectory("run")
    assert result.final["val/rmse"] == result.epochs[1]["val/rmse"]
    assert run.best_checkpoint.is_file()
    assert not result.failed


def test_judge_that_is_logged_now_and_then_is_no_mistake(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best of those evaluations is kept; that it is missing so far is said once."""
    fit.main([*unlike("Seldom"), "--epochs", "4", "--name", "run"])
    run = RunDirectory("run")
    result = run.read_result()
    measured = [row["val/rmse"] for row in result.epochs if "val/rmse" in row]
    assert len(measured) == 2
    assert result.final["val/rmse"] == min(measured)
    assert torch.load(run.best_checkpoint, weights_only=True)["epoch"] in (1, 3)
    printed = capsys.readouterr().out
    assert printed.count("--judge val/rmse is not logged; ") == 1
    assert "(so far; the run fails if it never is)" in printed


@pytest.mark.parametrize(
    ("judges", "logged", "expected"),
    [
        (
            Judges(ACCURACY, LOSS),
            "train/lr train/loss train/acc test/loss test/acc dead/relu1",
            "train/loss train/acc test/loss test/acc",
        ),
        (Judges(IOU, IOU), "train/lr train/loss val/iou", "train/loss val/iou"),
        (Judges(), "train/lr g_loss d_loss", "g_loss d_loss"),
        (Judges(), "val_loss", "step val_loss"),  # in the middle of an epoch
        (Judges(), "train/lr", ""),
        (Judges(LOSS, LOSS), f"train/lr {'a' * 60} val/loss b", "val/loss b"),
    ],
)
def test_row_has_a_column_of_each_metric_that_is_logged_and_fits(
    judges: Judges, logged: str, expected: str
) -> None:
    row = dict.fromkeys(["epoch", "step", "seconds", *logged.split()], 1.0)
    assert printed_columns(row, judges) == expected.split()

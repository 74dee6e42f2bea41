"""A run needs no judge, and finds one where the module says it or logs a usual name."""

from pathlib import Path

import pytest
import torch

from convblocks.errors import UserError
from convblocks.record.directory import RunDirectory
from convblocks.record.judge import Judge
from convblocks.run import fit
from convblocks.run.make import make_run
from convblocks.settings.config import Config
from exact_resume.errors import ResumeError
from tests.any_task.tasks import HERE
from tests.any_task.unjudged import Scaled, Scaler
from tests.core.run.test_resume import fit_until

# Its data have a loader of validation.
pytestmark = pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader`")

VAL_LOSS = Judge("val_loss", "min")


def options(model: str, *further: str) -> list[str]:
    data = ["--data", f"{HERE}.regression.Points", "--epochs", "3"]
    return ["--model", f"{HERE}.unjudged.{model}", *data, *further]


def test_run_without_validation_is_trained_and_not_judged(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit.main(options("Adversaries", "--name", "run"))
    run = RunDirectory("run")
    result = run.read_result()
    assert (result.judge, result.monitor, len(result.epochs)) == (None, None, 3)
    assert result.final.keys() == {"train/lr", "g_loss", "d_loss"}
    assert run.last_checkpoint.is_file()
    assert not run.best_checkpoint.exists()
    printed = capsys.readouterr().out
    assert "\nepoch      g_loss      d_loss        time\n" in printed
    assert "\nnot judged, 3 epochs in " in printed


@pytest.mark.parametrize("model", ["Documented", "Named"])
def test_run_is_judged_by_what_the_module_names_or_usually_logs(
    workspace: Path, model: str
) -> None:
    fit.main(options(model, "--name", "run"))
    run = RunDirectory("run")
    result = run.read_result()
    assert (result.judge, result.monitor) == (VAL_LOSS, VAL_LOSS)
    best = min(row["val_loss"] for row in result.epochs)
    assert result.final["val_loss"] == best
    saved = torch.load(run.best_checkpoint, weights_only=True)
    assert saved["callbacks"]["BestCheckpoint"]["best_model_score"].item() == pytest.approx(best)


def test_last_lines_say_by_what_a_run_is_judged_and_what_its_test_logs(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit.main(options("Documented", "--name", "run"))
    final = RunDirectory("run").read_result().final
    score = f"val_loss {final['val_loss']:.4g}, test/rmse {final['test/rmse']:.4g}, 3 epochs in "
    printed = capsys.readouterr().out
    assert f"\n{score}" in printed
    assert "\njudged by val_loss, less is better: --judge names another\n" in printed
    fit.main(options("Named", "--name", "named"))
    assert "judged by" not in capsys.readouterr().out


def test_judge_that_was_found_is_kept_for_a_resume(workspace: Path) -> None:
    fit.main(options("Documented", "--name", "whole"))
    fit_until(20, options("Documented", "--name", "stopped"))
    fit.main(["--name", "stopped", "--resume"])
    whole, stopped = (RunDirectory(name).read_result() for name in ("whole", "stopped"))
    assert stopped.judge == VAL_LOSS
    assert stopped.final == whole.final


def test_judge_that_is_found_but_not_logged_judges_nothing(workspace: Path) -> None:
    fit.main(options("Misnamed", "--name", "run"))
    assert RunDirectory("run").read_result().judge is None


def test_judge_that_was_asked_for_must_be_logged(workspace: Path) -> None:
    with pytest.raises(UserError, match="val_iou"):
        fit.main(options("Documented", "--judge", "val_iou:max", "--name", "run"))


def test_judge_may_be_of_training(workspace: Path) -> None:
    fit.main(options("Adversaries", "--judge", "g_loss:min", "--name", "run"))
    result = RunDirectory("run").read_result()
    assert result.score == result.epochs[-1]["g_loss"]


def test_object_in_hyper_parameters_is_left_out_of_checkpoints_with_a_line(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scaler = ["--model.scaler", f"{HERE}.unjudged.Scaler", "--model.scaler.factor", "2"]
    own = ["--trainer.callbacks", "ModelCheckpoint", "--trainer.callbacks.filename", "own"]
    own += ["--trainer.callbacks.every_n_train_steps", "1"]  # before the first of the run's own
    fit.main(options("Scaled", *scaler, *own, "--name", "run"))
    printed = capsys.readouterr().out
    assert printed.count("Scaled.load_from_checkpoint(path, scaler=...)") == 1
    run = RunDirectory("run")
    saved = torch.load(run.best_checkpoint, weights_only=True)
    assert saved["hyper_parameters"] == {"hidden": 16, "lr": 0.01, "factor": 1.0}
    users = torch.load(run.path / "own_checkpoints/own.ckpt", weights_only=False)
    assert users["hyper_parameters"]["scaler"].factor == 2
    restored = Scaled.load_from_checkpoint(run.best_checkpoint, scaler=Scaler(3))
    assert restored.hparams["scaler"].factor == 3
    fit.main(["--name", "run", "--resume", "--epochs", "4"])
    assert len(run.read_result().epochs) == 4


def test_object_elsewhere_in_a_checkpoint_is_named_with_its_part_and_can_be_trusted(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ResumeError, match=r"a .*Scaler, in scaling, which.* --weights_only false "):
        fit.main(options("Keeping", "--name", "refused"))
    trusting = ["--weights_only", "false"]
    fit.main(options("Keeping", *trusting, "--name", "run"))
    printed = capsys.readouterr().out
    assert printed.count("Scaler: a resume needs --weights_only false, which trusts it") == 1
    fit.main(["--name", "run", "--resume", "--epochs", "4", *trusting])
    assert len(RunDirectory("run").read_result().epochs) == 4


@pytest.mark.parametrize("batches", ["", "=2"])
def test_fast_dev_run_tries_all_loops_and_writes_nothing(
    workspace: Path, capsys: pytest.CaptureFixture[str], batches: str
) -> None:
    before = sorted(workspace.rglob("*"))
    tried = ["--model", f"{HERE}.regression.Curve", "--data", f"{HERE}.regression.Points"]
    fit.main([*tried, f"--trainer.fast_dev_run{batches}"])
    printed = capsys.readouterr().out
    assert "val/rmse" in printed
    assert "test/rmse" in printed
    assert "nothing was written" in printed
    assert sorted(workspace.rglob("*")) == before


def test_fast_dev_run_takes_as_many_batches_as_it_says(workspace: Path) -> None:
    config = Config.parse(["--arch", "mlp", "--fast_dev_run", "3"])
    trainer = make_run(config).trainer
    assert (trainer.limit_train_batches, trainer.limit_test_batches) == (3, 3)

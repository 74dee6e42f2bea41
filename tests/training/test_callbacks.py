"""Lightning's callbacks work through fit.py, beside its own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from convblocks.data.images import MNIST, ImageSets
from convblocks.errors import UsageError, UserError
from convblocks.evaluation.trained import load_network
from convblocks.model.evaluation import Evaluation
from convblocks.runs.directory import RunDirectory
from convblocks.training import fit
from tests.training.test_fit import QUICK, curves, metric_rows, train, weights


def with_callback(name: str, **arguments: Any) -> list[str]:
    """The options that add a callback."""
    option = "--trainer.callbacks"
    return [f"{option}={name}", *(f"{option}.{key}={value}" for key, value in arguments.items())]


NEVER_BETTER = with_callback("EarlyStopping", monitor="train/loss", patience=1, min_delta=9)


def test_early_stopping_ends_a_run_which_is_done_then(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--arch", "mlp", "--name", "run", "--epochs", "9", *NEVER_BETTER, *QUICK)
    run = RunDirectory("run")
    assert len(metric_rows(run)) == 2
    assert run.read_result().ended_by.startswith("EarlyStopping: Monitored metric train/loss did not improve")
    assert run.result_after(9)
    capsys.readouterr()
    fit.main(["--name", "run", "--resume"])
    assert "is finished: it has 2 epochs and was ended by EarlyStopping" in capsys.readouterr().out
    assert len(metric_rows(run)) == 2


@pytest.mark.slow
def test_a_run_that_was_killed_once_it_had_ended_itself_trains_nothing(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "run", "--epochs", "9", *NEVER_BETTER, *QUICK)
    run = RunDirectory("run")
    expected = run.read_result()
    run.summary.unlink()
    fit.main(["--name", "run", "--resume"])
    assert run.read_result() == expected


def test_a_checkpoint_callback_of_ones_own_keeps_its_folder(workspace: Path) -> None:
    own = with_callback("ModelCheckpoint", monitor="val/loss", dirpath="own", filename="{epoch}", save_top_k=-1)
    train("--arch", "mlp", "--name", "run", "--data.val_size", "2000", *own, *QUICK)
    assert {path.name for path in Path("own").iterdir()} == {"epoch=0.ckpt", "epoch=1.ckpt"}
    run = RunDirectory("run")
    assert {path.name for path in run.last_checkpoint.parent.iterdir()} == {
        "best.ckpt",
        "last.ckpt",
        "previous-last.ckpt",
    }
    assert load_network(Path("own/epoch=1.ckpt")).arch == "mlp"


def test_a_checkpoint_callback_without_a_folder_keeps_away_from_ours(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "run", *with_callback("ModelCheckpoint", save_last=True), *QUICK)
    run = RunDirectory("run")
    assert (run.path / "own_checkpoints" / "last.ckpt").is_file()
    assert {path.name for path in run.last_checkpoint.parent.iterdir()} == {"last.ckpt", "previous-last.ckpt"}


@pytest.mark.slow
def test_the_same_command_again_resumes_a_run_with_callbacks(workspace: Path) -> None:
    flags = ["--arch", "mlp", "--name", "run", "--resume", "--epochs", "3"]
    appended = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=train/loss"]
    train(*flags, *appended)
    RunDirectory("run").summary.unlink()
    train(*flags, *appended)
    assert len(RunDirectory("run").read_config()["trainer"]["callbacks"]) == 1


def test_a_search_that_would_come_too_late_is_refused(workspace: Path) -> None:
    with pytest.raises(UsageError, match="LearningRateFinder has no effect on onecycle"):
        train("--arch", "mlp", "--lr_scheduler", "onecycle", *with_callback("LearningRateFinder"))


def test_the_learning_rate_monitor_and_device_stats_log_beside_ours(workspace: Path) -> None:
    monitors = ["--trainer.callbacks+=LearningRateMonitor", "--trainer.callbacks.logging_interval=epoch"]
    train("--arch", "mlp", "--name", "run", *monitors, "--trainer.callbacks+=DeviceStatsMonitor")
    shown = curves(RunDirectory("run"))
    assert "lr-Adam" in shown
    assert any("DeviceStatsMonitor" in tag for tag in shown)


@pytest.mark.slow
@pytest.mark.parametrize(
    "callback",
    [
        with_callback("RichProgressBar", refresh_rate=5, leave=True),
        with_callback("TQDMProgressBar", refresh_rate=5),
        with_callback("RichModelSummary", max_depth=2),
        with_callback("GradientAccumulationScheduler", scheduling="{1: 4}"),
        with_callback("Timer", duration="00:01:00:00"),
        with_callback("ModelPruning", pruning_fn="l1_unstructured", amount=0.2),
        with_callback("OnExceptionCheckpoint", dirpath="exceptions"),
        with_callback("StochasticWeightAveraging", swa_lrs=0.001, swa_epoch_start=1),
    ],
    ids=lambda options: options[0].partition("=")[2],
)
def test_a_run_with_a_callback_is_whole(workspace: Path, callback: list[str]) -> None:
    train("--arch", "batchnorm", "--name", "run", *callback)
    run = RunDirectory("run")
    assert run.result_after(2)
    assert load_network(run.last_checkpoint).arch == "batchnorm"


def test_a_bar_of_ones_own_takes_the_place_of_ours(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--arch", "mlp", "--name", "run", *with_callback("TQDMProgressBar", refresh_rate=1, leave=True), *QUICK)
    captured = capsys.readouterr()
    assert "Epoch 1: 100%" in captured.out + captured.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (with_callback("EarlyStopping", monitor="val/los"), "conditioned on metric `val/los` which"),
        (with_callback("ModelCheckpoint", monitor="loss"), r"could not find the monitored key in the returned metrics"),
        (["--lr_scheduler=ReduceLROnPlateau", "--lr_scheduler.monitor=loss"], "conditioned on metric loss which"),
    ],
)
def test_a_missing_metric_is_one_line(workspace: Path, flags: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        train("--arch", "mlp", "--name", "run", *flags)
    assert "\n" not in str(caught.value)


def logged_accuracy(run: RunDirectory) -> float:
    return float(metric_rows(run)[-1]["test/acc"])


def accuracy_of_checkpoint(run: RunDirectory, digits: ImageSets) -> float:
    """The accuracy of the kept weights on the images of the run's evaluations: two batches of 1,000."""
    test = digits.test[torch.arange(2000)]
    return Evaluation(load_network(run.last_checkpoint).logits(test.images), test.labels, MNIST.classes).accuracy


@pytest.mark.slow
def test_with_an_average_of_weights_the_average_is_evaluated_and_kept(workspace: Path, digits: ImageSets) -> None:
    """The moving average is recomputed here, from the weights after each of a plain run's 10 steps."""
    decay, steps = 0.9, [*range(1, 11)]
    flags = ["--arch", "mlp", "--epochs", "1", "--trainer.limit_train_batches"]
    each = with_callback("ModelCheckpoint", dirpath="steps", filename="{step}", every_n_train_steps=1, save_top_k=-1)
    train(*flags, "10", "--name", "plain", *each)
    train(*flags, "10", "--name", "averaged", *with_callback("EMAWeightAveraging", decay=decay))
    after = [torch.load(f"steps/step={step}.ckpt", weights_only=True)["state_dict"] for step in steps]
    average: dict[str, Tensor] = dict(after[0])
    for state in after[1:]:
        average = {name: decay * average[name] + (1 - decay) * state[name] for name in average}
    run = RunDirectory("averaged")
    kept = weights(run)
    for name in (name for name in kept if name.startswith("network.")):
        assert torch.allclose(kept[name], average[name], atol=1e-6), name
    assert logged_accuracy(run) == pytest.approx(accuracy_of_checkpoint(run, digits))
    assert logged_accuracy(run) != logged_accuracy(RunDirectory("plain"))


@pytest.mark.slow
def test_weights_that_are_averaged_at_the_very_end_are_tested_and_kept(workspace: Path, digits: ImageSets) -> None:
    """StochasticWeightAveraging puts its average in place after the last checkpoint."""
    averaging = with_callback("StochasticWeightAveraging", swa_lrs=0.01, swa_epoch_start=1)
    train("--arch", "mlp", "--name", "run", "--epochs", "3", *averaging)
    run = RunDirectory("run")
    assert logged_accuracy(run) == pytest.approx(accuracy_of_checkpoint(run, digits))
    assert run.read_result().final["test/acc"] == logged_accuracy(run)
    expected = weights(run)
    run.summary.unlink()
    fit.main(["--name", "run", "--resume"])
    assert all(torch.equal(expected[name], value) for name, value in weights(run).items())


@pytest.mark.slow
def test_values_of_the_finders_are_in_the_summary_and_kept_on_a_resume(workspace: Path) -> None:
    finders = [
        *["--trainer.callbacks+=LearningRateFinder", "--trainer.callbacks.num_training_steps=60"],
        *["--trainer.callbacks+=BatchSizeFinder", "--trainer.callbacks.max_trials=2"],
    ]
    train("--arch", "mlp", "--name", "run", *finders)
    run = RunDirectory("run")
    found = run.read_result()
    assert found.lr != 0.01
    assert found.batch_size != 64
    run.summary.unlink()
    fit.main(["--name", "run", "--resume", "--epochs", "3"])
    again = run.read_result()
    assert (again.lr, again.batch_size) == (found.lr, found.batch_size)
    assert list(workspace.glob(".*.ckpt")) == []

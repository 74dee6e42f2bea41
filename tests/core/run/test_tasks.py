"""Each of four tasks is run, killed and resumed."""

import shutil
from pathlib import Path

import pytest

from convblocks.errors import Stopped, UserError
from convblocks.run import fit
from convblocks.run.config import Config
from convblocks.run.directory import RunDirectory
from convblocks.run.judge import ACCURACY, Judge
from tests import any_task
from tests.any_task.stop import Signal, forget_signal
from tests.any_task.tasks import HERE, QUICK, TASKS, options_of
from tests.core.run.test_fit import assert_same_weights, metric_rows
from tests.scripts import run_script

# torchdata calls what torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")


@pytest.mark.parametrize("task", QUICK)
def test_it_learns(task: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit.main([*options_of(task), "--name", "run"])
    result = RunDirectory("run").read_result()
    *_, steps, limit = TASKS[task]
    assert result.judge.sign * (result.score - limit) > 0
    assert [row["step"] for row in result.epochs] == [steps, 2 * steps, 3 * steps]
    assert f"{result.score_name} {result.judge.text(result.score)}, 3 epochs" in capsys.readouterr().out


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("task", QUICK)
def test_killed_and_resumed_it_ends_with_the_same_bits(task: str, within: bool, workspace: Path) -> None:
    steps = TASKS[task][3]
    assert_same_bits_after_a_kill(options_of(task), steps + 7 if within else 2 * steps)


def assert_same_bits_after_a_kill(flags: list[str], batches: int) -> None:
    """Compare a run that is stopped after so many batches, and resumed, to one that is not."""
    fit.main([*flags, "--name", "whole"])
    with pytest.raises(Stopped):
        fit.main([*flags, "--name", "stopped"], [Signal(batches)])
    forget_signal()
    fit.main(["--name", "stopped", "--resume"])
    whole, stopped = RunDirectory("whole"), RunDirectory("stopped")
    assert_same_weights(whole, stopped)
    assert metric_rows(whole) == metric_rows(stopped)
    assert whole.read_result().final == stopped.read_result().final


ODD = ["--model", f"{HERE}.odd.Seldom", "--datamodule", f"{HERE}.odd.Cut", "--judge", "val/size:min", "--epochs", "4"]


@pytest.mark.parametrize("batches", [28, 40])
def test_what_is_unusual_is_kept_too(batches: int, workspace: Path) -> None:
    """Pending gradients, values logged now and then, and loaders left in the middle, within epoch 2 and after it."""
    assert_same_bits_after_a_kill([*ODD, "--trainer.limit_train_batches", "20"], batches)


@pytest.mark.slow
def test_two_processes_killed_within_an_epoch_end_with_the_same_bits(workspace: Path) -> None:
    for module in ("shapes", "stop"):
        shutil.copy(Path(any_task.__file__).with_name(f"{module}.py"), f"own_{module}.py")
    flags = ["--model", "own_shapes.Segmenter", "--datamodule", "own_shapes.Shared", "--judge", "val/iou:max"]
    flags += ["--epochs", "3", "--threads", "1", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]
    flags += ["--trainer.devices", "2", "--trainer.use_distributed_sampler", "false"]
    stop = ["--trainer.callbacks", "own_stop.Signal", "--trainer.callbacks.batches"]
    run_script("fit", *flags, *stop, "1000", "--name", "whole", cwd=workspace)
    assert run_script("fit", *flags, *stop, "65", "--name", "stopped", cwd=workspace).returncode == 143
    run_script("fit", "--name", "stopped", "--resume", cwd=workspace)
    whole, stopped = RunDirectory("whole"), RunDirectory("stopped")
    assert_same_weights(whole, stopped)
    assert metric_rows(whole) == metric_rows(stopped)


def test_a_printed_config_trains_the_same_model(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*options_of("shapes"), "--model.channels", "4", "--model.lr", "0.1"]
    with pytest.raises(SystemExit):
        fit.main([*flags, "--print_config"])
    Path("printed.yaml").write_text(capsys.readouterr().out)
    assert Config.parse(["--config", "printed.yaml"]) == Config.parse(flags)


def test_an_accuracy_of_another_task_is_written_as_it_is() -> None:
    judge = Judge.parse("val/acc:max")
    assert (judge.text(97.5), judge.number(0.975), ACCURACY.text(0.975)) == ("97.5", "0.975", "97.50 %")


def test_the_text_of_a_judge_is_read_as_it_is_written() -> None:
    assert Judge.parse("val/acc:max:%") == ACCURACY
    assert [str(Judge.parse(text)) for text in ("val/acc:max:%", "val/a:b:min")] == ["val/acc:max:%", "val/a:b:min"]


def test_a_run_that_diverges_has_collapsed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit.main([*options_of("shapes"), "--model.lr", "1e30", "--name", "run"])
    result = RunDirectory("run").read_result()
    assert (result.failed, len(result.epochs)) == (True, 1)
    assert "ended by divergence: the loss or a weight was not finite after step 20" in capsys.readouterr().out


def test_nothing_of_classification_is_left_in_a_run(workspace: Path) -> None:
    fit.main([*options_of("shapes", epochs=1), "--name", "run"])
    run = RunDirectory("run")
    assert not run.mistakes.exists()
    assert run.read_config()["model"]["init_args"] == {"channels": 8, "lr": 0.02}
    columns = ["epoch", "step", "seconds", "train/lr", "train/loss", "val/iou"]
    assert run.metrics.read_text().splitlines()[0].split(",") == columns


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (options_of("shapes")[:4], "--model needs the metric to judge it by"),
        ([*options_of("shapes"), "--arch", "mlp"], "unrecognized arguments: --model.arch=mlp"),
        ([*options_of("shapes"), "--data.val_size", "9"], "unrecognized arguments: --data.val_size=9"),
        ([*options_of("regression")[:2], "--batch_size", "9"], "unrecognized arguments: --data.batch_size=9"),
        ([*options_of("shapes"), "--judge", "val/iou"], "--judge val/iou: give a metric and its direction"),
        ([*options_of("shapes"), "--judge", "val/dice:max"], "'val/dice'.* could not find the monitored key"),
        ([*options_of("shapes"), "--judge", "train/loss:min"], "or test/acc:max, not one of training"),
        ([*ODD, "--judge", "test/loss:min"], "is of the test, but this run has none"),
        (options_of("shapes")[:2] + options_of("shapes")[4:], "has no training data: give it --data"),
        ([*options_of("shapes"), "--model.depth", "2"], "unrecognized arguments: --model.depth=2"),
        ([*options_of("shapes"), "--data", f"{HERE}.shapes.Drawn"], "is no LightningDataModule"),
        (["--model", "os.system"], "os.system: it is no LightningModule"),
        (["--arch", f"{HERE}.shapes.Segmenter"], "whose own steps would be ignored: give it as --model"),
    ],
)
def test_wrong_usage_is_one_line(workspace: Path, flags: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        fit.main(flags)
    assert "\n" not in str(caught.value)

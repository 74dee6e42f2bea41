"""Each of four tasks is run, killed and resumed."""

import shutil
from pathlib import Path

import pytest

from convblocks.data.images import ImageSets
from convblocks.errors import Stopped, UserError
from convblocks.run import fit
from convblocks.run.directory import RunDirectory
from convblocks.run.judge import ACCURACY, Judge
from tests import any_task
from tests.any_task.stop import Signal, forget_signal
from tests.any_task.tasks import HERE, QUICK, TASKS, options_of
from tests.conftest import write_digits
from tests.core.run.test_fit import assert_same_weights, metric_rows
from tests.scripts import run_script

# torchdata calls what torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")


@pytest.mark.parametrize("task", QUICK)
def test_task_is_learned(task: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit.main([*options_of(task), "--name", "run"])
    result = RunDirectory("run").read_result()
    *_, steps, limit = TASKS[task]
    assert result.judge.sign * (result.score - limit) > 0
    assert [row["step"] for row in result.epochs] == [steps, 2 * steps, 3 * steps]
    assert f"{result.score_name} {result.judge.text(result.score)}, 3 epochs" in capsys.readouterr().out


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("task", QUICK)
def test_resume_of_a_killed_task_ends_with_the_same_bits(task: str, within: bool, workspace: Path) -> None:
    steps = TASKS[task][3]
    assert_same_bits_after_a_kill(options_of(task), steps + 7 if within else 2 * steps)


def assert_same_bits_after_a_kill(flags: list[str], batches: int) -> None:
    """Compare a run that is stopped after so many batches, and resumed, to one that is not."""
    fit.main([*flags, "--name", "whole"])
    with pytest.raises(Stopped):
        fit.main([*flags, "--name", "stopped"], [Signal(batches)])
    forget_signal()
    fit.main(["--name", "stopped", "--resume"])
    assert_same_run(RunDirectory("whole"), RunDirectory("stopped"))


def assert_same_run(whole: RunDirectory, stopped: RunDirectory) -> None:
    assert_same_weights(whole, stopped)
    assert metric_rows(whole) == metric_rows(stopped)
    assert whole.read_result().final == stopped.read_result().final


ODD = ["--model", f"{HERE}.odd.Seldom", "--data", f"{HERE}.odd.Cut", "--judge", "val/size:min", "--epochs", "4"]


@pytest.mark.parametrize("batches", [28, 40])
def test_resume_keeps_what_is_unusual(batches: int, workspace: Path) -> None:
    """Pending gradients, values logged now and then, and loaders left in the middle, within epoch 2 and after it."""
    assert_same_bits_after_a_kill([*ODD, "--trainer.limit_train_batches", "20"], batches)


MODULE = ["--model", "own_shapes.Segmenter", "--data", "own_shapes.Shared", "--judge", "val/iou:max"]
MODULE += ["--trainer.use_distributed_sampler", "false"]
IMAGES = ["--arch", "own_networks.Rows", "--batch_size", "62", "--data.root", "digits"]  # it has dropout


@pytest.mark.slow
@pytest.mark.parametrize("flags", [MODULE, IMAGES], ids=["module", "images"])
def test_resume_of_two_processes_killed_within_an_epoch_ends_with_the_same_bits(
    flags: list[str], own_networks: Path, digits: ImageSets
) -> None:
    workspace = own_networks.parent
    write_digits(workspace / "digits", digits, train=50 * 62, test=200)
    for module in ("shapes", "stop"):
        shutil.copy(Path(any_task.__file__).with_name(f"{module}.py"), f"own_{module}.py")
    flags = [*flags, "--epochs", "3", "--threads", "1", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]
    flags += ["--trainer.devices", "2", "--trainer.callbacks", "own_stop.Signal", "--trainer.callbacks.batches"]
    run_script("fit", *flags, "1000", "--name", "whole", cwd=workspace)
    assert run_script("fit", *flags, "65", "--name", "stopped", cwd=workspace).returncode == 143
    run_script("fit", "--name", "stopped", "--resume", cwd=workspace)
    assert_same_run(RunDirectory("whole"), RunDirectory("stopped"))


def test_judge_is_written_as_it_is_read_and_in_per_cent_only_if_it_says_so() -> None:
    judge = Judge.parse("val/acc:max")
    assert (judge.text(97.5), judge.number(0.975), ACCURACY.text(0.975)) == ("97.5", "0.975", "97.50 %")
    assert Judge.parse("val/acc:max:%") == ACCURACY
    assert [str(Judge.parse(text)) for text in ("val/acc:max:%", "val/a:b:min")] == ["val/acc:max:%", "val/a:b:min"]


def test_divergence_of_a_task_is_a_collapse(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit.main([*options_of("shapes"), "--model.lr", "1e30", "--name", "run"])
    result = RunDirectory("run").read_result()
    assert (result.failed, len(result.epochs)) == (True, 1)
    assert "ended by divergence: the loss or a weight was not finite after step 20" in capsys.readouterr().out


def test_run_of_another_task_has_nothing_of_classification(workspace: Path) -> None:
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
        ([*options_of("shapes"), "--data", f"{HERE}.shapes.Drawn"], "is not a LightningDataModule"),
        (["--model", "os.system"], "os.system: it is not a LightningModule"),
        (["--arch", f"{HERE}.shapes.Segmenter"], "whose own steps would be ignored: give it as --model"),
    ],
)
def test_task_with_wrong_options_is_one_line(workspace: Path, flags: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        fit.main(flags)
    assert "\n" not in str(caught.value)

"""A run that is killed and resumed, any number of times, at any step, ends as if nothing had happened."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch.trainer.connectors.logger_connector.logger_connector import _LoggerConnector

from convblocks.data.images import ImageSets
from convblocks.errors import Stopped, UserError
from convblocks.model.classifier import DigitClassifier
from convblocks.runs.checkpoints import previous
from convblocks.runs.directory import RunDirectory
from convblocks.training import fit, signals
from tests.conftest import DEBUG, REPOSITORY, write_digits
from tests.scripts import run_script, start_script
from tests.training.counting import count_steps
from tests.training.test_fit import assert_same_weights, curves, metric_rows

# The options of a run of two epochs of 20 steps, on ``few_digits``.
SMALL = [*DEBUG, "--threads", "1", "--data.root", "digits"]


@pytest.fixture
def few_digits(workspace: Path, digits: ImageSets) -> None:
    """As many digits as a short run needs."""
    write_digits(workspace / "digits", digits, train=1600)


@cache
def whole_run(*flags: str) -> RunDirectory:
    """An uninterrupted run, once for all tests with these flags."""
    fit.main([*flags, "--name", "whole"])
    return RunDirectory("whole", Path.cwd())


@pytest.fixture(autouse=True)
def fresh_signals() -> None:
    signals.forget()


def kill_while_it_runs(arguments: list[str], steps: int | None, rng: random.Random) -> None:
    """Start fit.py and kill it after so many training steps, or after some time."""
    counter = Path("steps")
    counter.write_bytes(b"")
    with start_script("fit", *arguments, prepare=partial(count_steps, counter)) as process:
        if steps is None:
            time.sleep(rng.uniform(0, 1.5))
        else:
            while steps > counter.stat().st_size and process.poll() is None:
                time.sleep(0.001)
        process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM]))
        process.wait(60)


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(workspace: Path, pytestconfig: pytest.Config) -> None:
    """SIGKILL or SIGTERM at random; every other one after a number of training steps, the rest after some time."""
    kills = int(pytestconfig.getoption("--kills"))
    flags = ["--arch", "mlp", "--threads", "1", "--epochs", "3", "--resume", "--name"]
    fit.main([*flags, "whole"])
    rng = random.Random(0)
    for done in range(1, kills + 1):
        kill_while_it_runs([*flags, "killed"], None if done % 2 else rng.randint(1, 2 * 2814 // kills), rng)
        if RunDirectory("killed").result_after(3):
            shutil.rmtree(RunDirectory("killed").path)  # begin again: the kills are not spent yet
    # In a process of its own too: TensorBoard reads the files of one second in the order of their processes' numbers.
    last = run_script("fit", *flags, "killed", cwd=workspace)
    assert last.returncode == 0, last.stderr
    whole, killed = RunDirectory("whole"), RunDirectory("killed")
    assert_same_weights(whole, killed)
    assert metric_rows(whole) == metric_rows(killed)
    for tag in ("train/loss", "train/loss_step", "test/acc", "train/lr"):
        assert curves(whole)[tag] == curves(killed)[tag]


def stop_at(step: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a signal come in the middle of a training step."""
    taken = 0

    def send(*_: object) -> None:
        nonlocal taken
        taken += 1
        if taken == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(DigitClassifier, "on_before_zero_grad", send)


def fit_until(step: int, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a run that SIGTERM stops in this step."""
    with monkeypatch.context() as patch:
        stop_at(step, signal.SIGTERM, patch)
        with pytest.raises(Stopped):
            fit.main(flags)
    signals.forget()


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 19, 20, 21, 40])
@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param([], id="defaults"),
        pytest.param(["--lr_scheduler", "onecycle", "--data.shift", "2", "--data.rotation", "10"], id="augmented"),
    ],
)
def test_a_stopped_run_resumes_from_the_very_batch(
    few_digits: None, monkeypatch: pytest.MonkeyPatch, step: int, recipe: list[str]
) -> None:
    """Two epochs of 20 steps: stopped at the first step, around the epoch's end, and at the last step."""
    flags = [*SMALL, "--arch", "batchnorm", *recipe]
    whole, stopped = whole_run(*flags), RunDirectory("stopped")
    with monkeypatch.context() as patch:
        stop_at(step, signal.SIGTERM, patch)
        if step < 40:
            with pytest.raises(Stopped) as caught:
                fit.main([*flags, "--name", "stopped"])
            assert caught.value.exit_status == 143
            assert f"stopped after step {step}" in str(caught.value)
        else:
            fit.main([*flags, "--name", "stopped"])  # the run ended before there was anything left to stop
    signals.forget()
    fit.main(["--name", "stopped", "--resume"])
    assert_same_weights(whole, stopped)
    assert metric_rows(whole) == metric_rows(stopped)
    assert curves(whole)["train/loss_step"] == curves(stopped)["train/loss_step"]


def callback(name: str, *arguments: str) -> list[str]:
    option = "--trainer.callbacks"
    return [f"{option}={name}", *(f"{option}.{argument}" for argument in arguments)]


PLATEAU = ["--lr_scheduler", "ReduceLROnPlateau", "--lr_scheduler.patience", "0", "--lr_scheduler.threshold", "0.9"]

BROUGHT_ALONG = {
    "early_stopping": [
        *["--data.val_size", "200", "--trainer.val_check_interval", "0.2", "--epochs", "6"],
        *callback("EarlyStopping", "monitor=val/loss", "patience=5", "min_delta=0.3"),
    ],
    "own_checkpoints": callback("ModelCheckpoint", "dirpath=own", "every_n_train_steps=3", "save_top_k=-1"),
    "moving_average": callback("EMAWeightAveraging", "decay=0.9"),
    "stochastic_average": callback("StochasticWeightAveraging", "swa_lrs=0.001", "swa_epoch_start=2"),
    "accumulation": callback("GradientAccumulationScheduler", "scheduling={1: 3}"),
    "finders": callback("LearningRateFinder", "num_training_steps=60"),
    "max_steps": ["--trainer.max_steps", "37"],
    "overfit_batches": ["--trainer.overfit_batches", "12", "--data.shift", "2", "--epochs", "3"],
    "csv_logger": ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "csv"],
    "float64": ["--trainer.precision", "64-true"],
    "bfloat16": ["--trainer.precision", "bf16-true"],
    "optimizer": ["--optimizer", "torch.optim.RAdam", "--optimizer.weight_decay", "0.01"],
    "steps_an_epoch": ["--lr_scheduler", "StepLR", "--lr_scheduler.step_size", "1"],
    "steps_a_step": ["--lr_scheduler", "StepLR", "--lr_scheduler.step_size", "7", "--lr_scheduler.interval", "step"],
    "plateau_an_epoch": [*PLATEAU, "--lr_scheduler.monitor", "train/loss", "--epochs", "3"],
    "plateau_a_step": [
        *PLATEAU,
        *["--lr_scheduler.monitor", "train/loss_step", "--lr_scheduler.interval", "step"],
        *["--lr_scheduler.frequency", "5", "--trainer.val_check_interval", "0.25"],
    ],
    "network": ["--arch", "own_networks.Rows", "--network.hidden", "24"],  # with dropout
}


SLOW_STEPS = [pytest.param(step, marks=pytest.mark.slow) for step in (5, 20)]


@pytest.mark.slow
@pytest.mark.parametrize("step", [*SLOW_STEPS, 27])
@pytest.mark.parametrize("case", BROUGHT_ALONG)
def test_a_users_own_parts_resume_to_the_same_end(
    few_digits: None, own_networks: Path, monkeypatch: pytest.MonkeyPatch, case: str, step: int
) -> None:
    """Stopped at an evaluation, at an epoch's end, and in the middle of an epoch."""
    flags = [*SMALL, "--arch", "batchnorm", *BROUGHT_ALONG[case]]
    signals.install()
    whole, stopped = whole_run(*flags), RunDirectory("stopped")
    with monkeypatch.context() as patch:
        stop_at(step, signal.SIGTERM, patch)
        with contextlib.suppress(Stopped):  # some have fewer steps
            fit.main([*flags, "--name", "stopped"])
    signals.forget()
    fit.main(["--name", "stopped", "--resume"])
    assert_same_weights(whole, stopped)
    assert metric_rows(whole) == metric_rows(stopped)
    assert whole.read_result().final == stopped.read_result().final
    assert whole.read_result().ended_by == stopped.read_result().ended_by


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 2])  # of two
@pytest.mark.parametrize("killed", [True, False])
def test_the_curves_are_whole_whether_an_epoch_was_logged_after_its_checkpoint_or_not(
    few_digits: None, monkeypatch: pytest.MonkeyPatch, killed: bool, epoch: int
) -> None:
    """Lightning writes an epoch's metrics after the epoch's checkpoint; a kill may come in between, or right after."""
    flags = [*SMALL, "--arch", "mlp"]
    expected = curves(whole_run(*flags))
    write = _LoggerConnector.update_train_epoch_metrics

    def kill(connector: _LoggerConnector) -> None:
        if not killed or connector.trainer.current_epoch + 1 < epoch:
            write(connector)
        if connector.trainer.current_epoch + 1 == epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_LoggerConnector, "update_train_epoch_metrics", kill)
        with pytest.raises(KeyboardInterrupt):
            fit.main([*flags, "--name", "killed"])
    fit.main(["--name", "killed", "--resume"])
    resumed = curves(RunDirectory("killed"))
    assert expected.keys() == resumed.keys()
    for tag in expected.keys() - {"vitals/speed/seconds", "vitals/speed/images_per_second"}:
        assert resumed[tag] == expected[tag], tag


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_begins_its_curves_anew(
    few_digits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*SMALL, "--arch", "mlp"]
    expected = curves(whole_run(*flags))["train/loss_step"]

    def kill(classifier: DigitClassifier, *_: object) -> None:
        if classifier.trainer.global_step == 12:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DigitClassifier, "on_before_zero_grad", kill)
        with pytest.raises(KeyboardInterrupt):
            fit.main([*flags, "--name", "killed"])
    killed = RunDirectory("killed")
    assert not killed.last_checkpoint.exists()
    assert curves(killed)["train/loss_step"]
    fit.main(["--name", "killed", "--resume"])
    assert curves(killed)["train/loss_step"] == expected


def test_random_numbers_go_on_where_they_stopped(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network with dropout draws random numbers in every step."""
    monkeypatch.setattr(
        DigitClassifier,
        "forward",
        lambda self, images: self.network(torch.nn.functional.dropout(images, 0.2, self.training)),
    )
    flags = [*DEBUG, "--arch", "mlp", "--name"]
    fit.main([*flags, "whole"])
    fit_until(7, [*flags, "stopped"], monkeypatch)
    fit.main(["--name", "stopped", "--resume"])
    assert_same_weights(RunDirectory("whole"), RunDirectory("stopped"))


@pytest.mark.slow
def test_the_number_of_threads_is_recorded_and_restored(workspace: Path) -> None:
    fit.main([*DEBUG, "--arch", "mlp", "--name", "run", "--threads", "1", "--epochs", "1"])
    torch.set_num_threads(2)
    fit.main(["--name", "run", "--resume", "--epochs", "2"])
    assert torch.get_num_threads() == 1
    fit.main([*DEBUG, "--arch", "mlp", "--name", "default"])
    assert RunDirectory("default").read_config()["threads"] == 1


@pytest.mark.slow
def test_a_signal_during_the_imports_stops_after_the_first_batch(workspace: Path) -> None:
    script = [sys.executable, str(REPOSITORY / "scripts" / "fit.py"), "--arch", "mlp", "--name", "early"]
    with subprocess.Popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(1.5)
        process.terminate()
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "stopped after step 1: carry on with --resume" in errors


@pytest.fixture
def run(workspace: Path) -> RunDirectory:
    """A run of two epochs without its summary."""
    fit.main([*DEBUG, "--arch", "mlp", "--name", "run"])
    RunDirectory("run").summary.unlink()
    return RunDirectory("run")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_passed_over_for_the_previous_one(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = metric_rows(run)
    flip_a_bit(run.last_checkpoint)
    fit.main(["--name", "run", "--resume"])
    assert "last.ckpt is missing or damaged: carrying on from previous-last.ckpt" in capsys.readouterr().out
    assert metric_rows(run) == expected


def test_if_both_are_damaged_the_resume_is_refused(run: RunDirectory) -> None:
    flip_a_bit(run.last_checkpoint)
    flip_a_bit(previous(run.last_checkpoint))
    with pytest.raises(UserError, match=r"cannot load .*previous-last\.ckpt: it is damaged"):
        fit.main(["--name", "run", "--resume"])


def test_a_checkpoint_of_other_settings_is_refused(run: RunDirectory) -> None:
    fit.main([*DEBUG, "--arch", "mlp", "--name", "other", "--lr", "0.1"])
    shutil.copy(RunDirectory("other").last_checkpoint, run.last_checkpoint)
    with pytest.raises(UserError, match="belongs to a run with other settings"):
        fit.main(["--name", "run", "--resume"])


def test_a_foreign_file_is_refused(run: RunDirectory) -> None:
    previous(run.last_checkpoint).unlink()
    torch.save({"weights": torch.zeros(3)}, run.last_checkpoint)
    with pytest.raises(UserError, match="is not a checkpoint of this project"):
        fit.main(["--name", "run", "--resume"])


def test_a_full_disk_ends_the_run_in_one_line_and_keeps_the_checkpoint(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = 0

    def fill(checkpoint: object, file: object) -> None:
        nonlocal saved
        saved += 1
        if saved == 2:
            raise OSError(28, "No space left on device")
        save(checkpoint, file)  # type: ignore[arg-type]  # passed on as it came

    save = torch.save
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fill)
        with pytest.raises(UserError, match=r"cannot write to .*run \(No space left on device\); its last checkpoint"):
            fit.main([*DEBUG, "--arch", "mlp", "--name", "run"])
    assert torch.load(RunDirectory("run").last_checkpoint, weights_only=True)["global_step"] == 20
    fit.main(["--name", "run", "--resume"])
    assert RunDirectory("run").result_after(2)


def test_a_log_directory_that_disappears_ends_the_run_in_one_line(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(*_: object) -> None:
        shutil.rmtree("lightning_logs", ignore_errors=True)
        Path("lightning_logs").write_text("not a folder any more")

    monkeypatch.setattr(DigitClassifier, "on_validation_epoch_start", remove)
    with pytest.raises(UserError, match="cannot write to"):
        fit.main([*DEBUG, "--arch", "mlp", "--name", "run"])

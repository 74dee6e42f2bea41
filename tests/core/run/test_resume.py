"""A run that is killed and resumed, any number of times, at any step, ends as if nothing had happened."""

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch.trainer.connectors.logger_connector.logger_connector import _LoggerConnector

from convblocks.data.images import ImageSets
from convblocks.errors import Stopped, UserError
from convblocks.model.classifier import ImageClassifier
from convblocks.run import fit, signals
from convblocks.run.checkpoints import previous
from convblocks.run.directory import LOGS, RunDirectory
from tests.any_task.stop import forget_signal
from tests.conftest import DEBUG, REPOSITORY, write_digits
from tests.core.run.several import stop_at
from tests.core.run.test_fit import assert_same_weights, curves, metric_rows
from tests.scripts import run_script, start_script

NIGHTLY = pytest.mark.nightly

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
    forget_signal()


def count_steps(counter: Path) -> None:
    """Append a byte to a file for each training step from now on."""
    descriptor = os.open(counter, os.O_WRONLY | os.O_APPEND)

    def count(*_: object) -> None:
        os.write(descriptor, b".")

    ImageClassifier.on_before_zero_grad = count  # type: ignore[assignment, method-assign]


def kill_after(steps: int, signal_number: int, *arguments: str) -> None:
    """Start fit.py and kill it after so many training steps."""
    counter = Path("steps")
    counter.write_bytes(b"")
    with start_script("fit", *arguments, prepare=partial(count_steps, counter)) as process:
        while steps > counter.stat().st_size and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal_number)
        process.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=NIGHTLY)])
def test_kills_at_random_moments_change_nothing(workspace: Path, kills: int) -> None:
    flags = ["--arch", "mlp", "--threads", "1", "--epochs", "3", "--resume", "--name"]
    fit.main([*flags, "whole"])
    rng = random.Random(0)
    for _ in range(kills):
        kill_after(rng.randint(0, 2 * 2814 // kills), rng.choice([signal.SIGKILL, signal.SIGTERM]), *flags, "killed")
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


def fit_until(step: int, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a run that SIGTERM stops in this step."""
    with monkeypatch.context() as patch:
        stop_at(step, signal.SIGTERM, patch)
        with pytest.raises(Stopped):
            fit.main(flags)
    forget_signal()


def callback(name: str, *arguments: str) -> list[str]:
    option = "--trainer.callbacks"
    return [f"{option}={name}", *(f"{option}.{argument}" for argument in arguments)]


PLATEAU = ["--lr_scheduler", "ReduceLROnPlateau", "--lr_scheduler.patience", "0", "--lr_scheduler.threshold", "0.9"]

SETTINGS = {
    "defaults": [],
    "augmented": ["--lr_scheduler", "onecycle", "--data.shift", "2", "--data.rotation", "10"],
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
    "bfloat16": ["--trainer.precision", "bf16-true"],
    "steps_a_step": ["--lr_scheduler", "StepLR", "--lr_scheduler.step_size", "7", "--lr_scheduler.interval", "step"],
    "plateau_an_epoch": [*PLATEAU, "--lr_scheduler.monitor", "train/loss", "--epochs", "3"],
    "plateau_a_step": [
        *PLATEAU,
        *["--lr_scheduler.monitor", "train/loss_step", "--lr_scheduler.interval", "step"],
        *["--lr_scheduler.frequency", "5", "--trainer.val_check_interval", "0.25"],
    ],
    "network": ["--arch", "own_networks.Rows", "--network.hidden", "24"],  # with dropout
}


# Of two epochs of 20 steps: at an evaluation, at an epoch's end, within an epoch.
STEPS = (5, 20, 27)
MOST_TELLING = {"plateau_a_step": 5, "plateau_an_epoch": 20, "accumulation": 23}
ALIKE = ("finders", "max_steps", "overfit_batches", "bfloat16", "steps_a_step")  # as others of them
TELLING = [(settings, MOST_TELLING.get(settings, 27)) for settings in SETTINGS if settings not in ALIKE]
TELLING += [("plateau_an_epoch", 27), *(("augmented", step) for step in (1, 20, 40))]
OTHERS = [(settings, step) for settings in SETTINGS for step in STEPS] + [("augmented", 19), ("augmented", 21)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "step"), [*TELLING, *(pytest.param(*case, marks=NIGHTLY) for case in OTHERS if case not in TELLING)]
)
def test_a_stopped_run_resumes_from_the_very_batch(
    few_digits: None, own_networks: Path, monkeypatch: pytest.MonkeyPatch, settings: str, step: int
) -> None:
    flags = [*SMALL, "--arch", "batchnorm", *SETTINGS[settings]]
    signals.install()
    whole, stopped = whole_run(*flags), RunDirectory("stopped")
    with monkeypatch.context() as patch:
        stop_at(step, signal.SIGTERM, patch)
        with suppress(Stopped):  # it ended before there was anything left to stop
            fit.main([*flags, "--name", "stopped"])
    forget_signal()
    fit.main(["--name", "stopped", "--resume"])
    assert_same_weights(whole, stopped)
    assert metric_rows(whole) == metric_rows(stopped)
    assert curves(whole).get("train/loss_step") == curves(stopped).get("train/loss_step")
    assert whole.read_result().final == stopped.read_result().final
    assert whole.read_result().ended_by == stopped.read_result().ended_by


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "method", "call", "is_done"),
    [
        (ImageClassifier, "on_before_zero_grad", 12, True),  # before the first checkpoint
        # Lightning writes an epoch's metrics after the epoch's checkpoint.
        (_LoggerConnector, "update_train_epoch_metrics", 1, False),
        (_LoggerConnector, "update_train_epoch_metrics", 2, True),
        pytest.param(_LoggerConnector, "update_train_epoch_metrics", 1, True, marks=NIGHTLY),
        pytest.param(_LoggerConnector, "update_train_epoch_metrics", 2, False, marks=NIGHTLY),
    ],
)
def test_the_curves_of_a_killed_run_are_whole(
    few_digits: None, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, call: int, is_done: bool
) -> None:
    """Killed in that call, before or after what it does."""
    flags = [*SMALL, "--arch", "mlp"]
    expected = curves(whole_run(*flags))
    calls, original = itertools.count(1), getattr(owner, method)

    def kill(*arguments: object) -> None:
        is_last = next(calls) == call
        if is_done or not is_last:
            original(*arguments)
        if is_last:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, kill)
        with pytest.raises(KeyboardInterrupt):
            fit.main([*flags, "--name", "killed"])
    fit.main(["--name", "killed", "--resume"])
    resumed = curves(RunDirectory("killed"))
    assert expected.keys() == resumed.keys()
    for tag in expected.keys() - {"vitals/speed/seconds"}:
        assert resumed[tag] == expected[tag], tag


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


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs without its summary, and one with another learning rate; read-only."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, lr in (("run", "0.01"), ("other", "0.1")):
            fit.main([*DEBUG, "--arch", "mlp", "--lr", lr, "--name", name])
    RunDirectory("run", folder).summary.unlink()
    return folder / LOGS


@pytest.fixture
def run(runs: Path, workspace: Path) -> RunDirectory:
    shutil.copytree(runs, LOGS)
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


def damage_both(checkpoint: Path) -> None:
    flip_a_bit(checkpoint)
    flip_a_bit(previous(checkpoint))


def replace_by_another_runs(checkpoint: Path) -> None:
    shutil.copy(RunDirectory("other").last_checkpoint, checkpoint)


def replace_by_a_foreign_file(checkpoint: Path) -> None:
    previous(checkpoint).unlink()
    torch.save({"weights": torch.zeros(3)}, checkpoint)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage_both, r"cannot load .*previous-last\.ckpt: it is damaged"),
        (replace_by_another_runs, r"was begun with model\.lr=0\.1, not 0\.01: resume it with its own settings"),
        (replace_by_a_foreign_file, "is not a checkpoint of this version of convblocks: train again"),
    ],
)
def test_a_resume_from_other_checkpoints_is_refused(
    run: RunDirectory, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(run.last_checkpoint)
    with pytest.raises(UserError, match=message):
        fit.main(["--name", "run", "--resume"])

"""Through fit.py the Trainer's options work as Lightning documents."""

import subprocess
import time
from pathlib import Path

import pytest
import torch

from convblocks.data.images import ImageSets
from convblocks.errors import UsageError, UserError
from convblocks.runs.directory import RunDirectory
from convblocks.training import fit
from tests.conftest import DEBUG, REPOSITORY, write_digits
from tests.quick_python import quick_python, run_quickly
from tests.scripts import run_script
from tests.training.test_distributed import FIT
from tests.training.test_fit import QUICK, assert_same_weights, curves, metric_rows, train

CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))


@pytest.fixture
def few_digits(workspace: Path, digits: ImageSets) -> list[str]:
    """Options for a run on only as many digits as a test needs."""
    write_digits(workspace / "digits", digits, train=150 * 62, test=200)
    return ["--data.root", "digits"]


def places(run: RunDirectory) -> list[tuple[int, int]]:
    """The epoch and the step of each row of ``metrics.csv``."""
    return [(int(row["epoch"]), int(row["step"])) for row in metric_rows(run)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_fast_dev_run_tries_every_config_out_and_leaves_nothing(
    workspace: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit.main(["--config", str(config), "--arch", "maxpool", "--trainer.fast_dev_run", "true"])
    assert "no run directory was written" in capsys.readouterr().out
    assert list(workspace.iterdir()) == []


def test_overfit_batches_takes_the_same_few_in_each_epoch(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "run", "--trainer.overfit_batches", "2", "--epochs", "20", *QUICK)
    rows = metric_rows(RunDirectory("run"))
    assert [row["step"] for row in rows] == [str(2 * epoch) for epoch in range(1, 21)]
    assert float(rows[-1]["train/acc"]) == 1  # 128 images are learned by heart


def test_max_steps_ends_a_run_within_an_epoch_and_tests_it(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--arch", "mlp", "--name", "run", "--trainer.max_steps", "27", *QUICK)
    run = RunDirectory("run")
    assert places(run) == [(1, 20), (2, 27)]
    assert "test/acc" in metric_rows(run)[-1]
    assert run.read_result().final["test/acc"] == float(metric_rows(run)[-1]["test/acc"])
    assert run.read_result().ended_by == "max_steps=27"
    assert "ended by max_steps=27" in capsys.readouterr().out
    fit.main(["--name", "run", "--resume"])
    assert "is finished: it has 2 epochs and was ended by max_steps=27" in capsys.readouterr().out


@pytest.mark.slow
def test_max_steps_is_the_only_limit_unless_there_are_epochs_too(workspace: Path) -> None:
    flags = ["--arch", "mlp", "--trainer.limit_train_batches", "20", "--trainer.limit_val_batches", "1"]
    fit.main([*flags, "--trainer.max_steps", "130", "--name", "alone"])
    assert places(RunDirectory("alone"))[-1] == (7, 130)
    fit.main([*flags, "--trainer.max_steps", "130", "--epochs", "3", "--name", "both"])
    assert places(RunDirectory("both"))[-1] == (3, 60)


@pytest.mark.slow
def test_max_time_ends_a_run_which_is_done_then(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--trainer.max_time", "00:00:00:01", "--trainer.limit_val_batches", "1"]
    fit.main(["--arch", "maxpool", "--name", "run", *flags])
    assert RunDirectory("run").read_result().ended_by == "its max_time"
    capsys.readouterr()
    fit.main(["--name", "run", "--resume"])
    assert "and was ended by its max_time" in capsys.readouterr().out


@pytest.mark.slow
def test_min_steps_keep_early_stopping_from_ending_a_run(workspace: Path) -> None:
    stopping = ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=train/loss"]
    never_better = ["--trainer.callbacks.patience=1", "--trainer.callbacks.min_delta=9"]
    flags = ["--arch", "mlp", *stopping, *never_better, "--epochs", "9"]
    train(*flags, "--name", "free")
    train(*flags, "--trainer.min_steps", "70", "--name", "kept")
    assert [places(RunDirectory(name))[-1] for name in ("free", "kept")] == [(2, 40), (4, 70)]


def test_val_check_interval_gives_a_row_to_each_evaluation(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "run", "--trainer.val_check_interval", "0.25")
    run = RunDirectory("run")
    assert places(run) == [(1, 5), (1, 10), (1, 15), (1, 20), (2, 25), (2, 30), (2, 35), (2, 40)]
    rows = metric_rows(run)
    assert all(row["test/acc"] for row in rows)
    assert [row["step"] for row in rows if row["train/loss"]] == ["20", "40"]
    assert [step for step, _ in curves(run)["test/acc"]] == [4, 9, 14, 19, 24, 29, 34, 39]
    result = run.read_result()
    assert (len(result.epochs), len(result.evaluations)) == (2, 6)


def test_evaluations_can_be_counted_over_epochs(workspace: Path) -> None:
    never = ["--trainer.check_val_every_n_epoch", "null", "--trainer.val_check_interval", "30"]
    train("--arch", "mlp", "--name", "run", *never, *QUICK)
    rows = metric_rows(RunDirectory("run"))
    assert [(row["step"], bool(row["test/acc"])) for row in rows] == [("20", False), ("30", True), ("40", True)]
    with pytest.raises(UserError, match="must be less than or equal to the number of the training batches"):
        train("--arch", "mlp", "--name", "other", "--trainer.val_check_interval", "30")


def test_the_best_evaluation_is_kept_also_from_within_an_epoch(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "run", "--data.val_size", "2000", "--trainer.val_check_interval", "0.25", *QUICK)
    run = RunDirectory("run")
    best = torch.load(run.best_checkpoint, weights_only=True)
    lowest = min(metric_rows(run), key=lambda row: float(row["val/loss"]))
    assert best["global_step"] == int(lowest["step"])


@pytest.mark.slow
def test_without_an_evaluation_at_the_end_there_is_a_test(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "run", "--epochs", "3", "--trainer.check_val_every_n_epoch", "2")
    rows = metric_rows(RunDirectory("run"))
    assert [bool(row["test/acc"]) for row in rows] == [False, True, True]
    train("--arch", "mlp", "--name", "never", "--trainer.limit_val_batches", "0")
    assert [bool(row["test/acc"]) for row in metric_rows(RunDirectory("never"))] == [False, True]


SIX_BATCHES = ["--arch", "batchnorm", "--epochs", "2", "--trainer.limit_train_batches", "6"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """The run that the next test compares with."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(*SIX_BATCHES, "--name", "plain")
    return RunDirectory("plain", folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--trainer.num_sanity_val_steps", "2"],
        ["--trainer.reload_dataloaders_every_n_epochs", "1"],
        ["--trainer.use_distributed_sampler", "true"],
        ["--trainer.detect_anomaly", "true"],
        ["--trainer.sync_batchnorm", "false"],  # of one process
        ["--trainer.profiler", "simple"],
        ["--trainer.profiler", "advanced"],
        ["--trainer.logger", "false"],
    ],
    ids=" ".join,
)
def test_options_that_change_no_number(plain: RunDirectory, workspace: Path, flags: list[str]) -> None:
    train(*SIX_BATCHES, *flags, "--name", "other")
    assert_same_weights(plain, RunDirectory("other"))
    assert metric_rows(plain) == metric_rows(RunDirectory("other"))


@pytest.mark.slow
def test_torchs_profiler_reports(workspace: Path) -> None:
    """In a separate process, which crashes when it ends."""
    finished = run_script("fit", *DEBUG, "--arch", "mlp", "--trainer.profiler", "pytorch", cwd=workspace)
    assert finished.returncode == 0, finished.stderr
    assert "Self CPU time total" in finished.stdout + finished.stderr


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true", "16-true"])
def test_every_precision_of_the_device_leaves_a_whole_run(workspace: Path, precision: str) -> None:
    # A CPU takes a second for a step in float16.
    few = ["--trainer.limit_train_batches", "6"] if precision == "16-true" else []
    train("--arch", "batchnorm", "--name", "run", "--lr", "1e-3", "--trainer.precision", precision, *few)
    result = RunDirectory("run").read_result()
    first, last = [epoch["train/loss"] for epoch in result.epochs]
    assert last < first
    # Adam's second moments vanish in float16: how far it gets with what is left differs by processor.
    if precision != "16-true":
        assert result.accuracy > 0.5


def test_gradients_are_accumulated_and_clipped(workspace: Path) -> None:
    accumulated = ["--batch_size", "32", "--trainer.accumulate_grad_batches", "2"]
    train("--arch", "mlp", "--name", "run", *accumulated, "--trainer.gradient_clip_val", "0.1", *QUICK)
    assert places(RunDirectory("run")) == [(1, 10), (2, 20)]


@pytest.mark.slow
def test_default_root_dir_is_where_the_runs_lie(workspace: Path) -> None:
    scratch = ["--trainer.default_root_dir", "scratch"]
    train("--arch", "mlp", "--epochs", "1", *scratch)
    run = RunDirectory("mlp/version_0", Path("scratch"))
    assert run.result_after(1)
    fit.main(["--name", "mlp/version_0", "--resume", "--epochs", "2", *scratch])
    assert places(run) == [(1, 20), (2, 40)]
    assert list(workspace.iterdir()) == [workspace / "scratch"]


def test_without_checkpoints_a_run_prints_that_it_cannot_be_resumed(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("--arch", "mlp", "--name", "run", "--trainer.enable_checkpointing", "false", *QUICK)
    assert "It kept no checkpoint, and cannot be resumed." in capsys.readouterr().out
    assert not (RunDirectory("run").path / "checkpoints").exists()
    assert RunDirectory("run").result_after(2)


def test_fsdp_without_a_gpu_is_one_line(workspace: Path) -> None:
    with pytest.raises(UsageError, match="requires a GPU accelerator"):
        train("--arch", "mlp", "--trainer.strategy", "fsdp", "--trainer.accelerator", "cpu")


def train_two_processes(strategy: str, folder: Path) -> RunDirectory:
    processes = ["--trainer.devices", "2", "--trainer.accelerator", "cpu", "--threads", "1"]
    command = [*DEBUG, *processes, "--arch", "batchnorm", "--data.val_size", "1000", "--trainer.strategy", strategy]
    finished = run_quickly(FIT, *command, "--name", strategy, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return RunDirectory(strategy, folder)


@pytest.fixture(scope="module")
def of_ddp(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return train_two_processes("ddp", tmp_path_factory.mktemp("ddp"))


@pytest.mark.slow
def test_each_process_has_the_threads_asked_for(tmp_path: Path) -> None:
    """Not those that Lightning sets where it starts processes: one for each core, shared among them."""
    flags = ["--arch", "mlp", "--trainer.devices", "2", "--trainer.accelerator", "cpu", "--threads", "3"]
    finished = run_quickly(FIT, *DEBUG, *flags, "--epochs", "1", "--name", "run", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert RunDirectory("run", tmp_path).read_result().provenance.threads == 3


@pytest.mark.slow
def test_another_ddp_gives_the_numbers_of_ddp(of_ddp: RunDirectory, tmp_path: Path) -> None:
    run = train_two_processes("ddp_find_unused_parameters_true", tmp_path)
    assert_same_weights(of_ddp, run)
    assert metric_rows(of_ddp) == metric_rows(run)
    assert of_ddp.read_result().final == run.read_result().final


@pytest.mark.slow
@pytest.mark.parametrize("argument", ["affine=true", "affine=false", "momentum=null"])
def test_any_batch_norm_of_torch_is_synchronised(own_networks: Path, few_digits: list[str], argument: str) -> None:
    flags = [
        *DEBUG,
        *few_digits,
        "--arch",
        "own_networks.Normalised",
        f"--network.{argument}",
        "--threads",
        "1",
        "--epochs",
        "1",
    ]
    # Not Adam: of pixels that are always the same it makes a step of what rounding leaves of their gradients.
    exact = [*flags, "--optimizer", "sgd", "--trainer.accelerator", "cpu", "--trainer.precision", "64-true"]
    for name, more in {"one": [], "two": ["--trainer.devices", "2", "--trainer.strategy", "ddp"]}.items():
        finished = run_quickly(FIT, *exact, *more, "--name", name, cwd=own_networks.parent)
        assert finished.returncode == 0, finished.stderr
    one, two = (metric_rows(RunDirectory(name))[0] for name in ("one", "two"))
    for metric in ("train/loss", "test/loss"):
        assert float(two[metric]) == pytest.approx(float(one[metric]), rel=1e-9)


@pytest.mark.slow
def test_a_run_of_two_processes_resumes_to_the_same_end(own_networks: Path, few_digits: list[str]) -> None:
    """Each process has its own random state, for dropout, and its own sums over the unfinished epoch."""
    processes = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"]
    short = ["--epochs", "3", *few_digits]
    command = ["--arch", "own_networks.Rows", "--batch_size", "62", "--threads", "1", *processes, *short]
    assert run_quickly(FIT, *command, "--name", "whole", cwd=own_networks.parent).returncode == 0
    script = [str(quick_python()), FIT, *command, "--name", "stopped"]
    stopped = RunDirectory("stopped")
    with subprocess.Popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while len(stopped.read_metrics()) < 1:
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.3)
        process.terminate()
        assert process.wait(timeout=60) == 143
    assert run_quickly(FIT, "--name", "stopped", "--resume", cwd=own_networks.parent).returncode == 0
    assert_same_weights(RunDirectory("whole"), stopped)
    assert metric_rows(RunDirectory("whole")) == metric_rows(stopped)


@pytest.mark.slow
def test_sync_batchnorm_can_be_switched_off(workspace: Path, few_digits: list[str]) -> None:
    """Each process then normalises by the statistics of its own images."""
    flags = [
        *DEBUG,
        *few_digits,
        "--arch",
        "batchnorm",
        "--threads",
        "1",
        "--trainer.accelerator",
        "cpu",
        "--epochs",
        "1",
    ]
    exact = [*flags, "--trainer.precision", "64-true"]
    processes = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
    cases = {"one": [], "on": processes, "off": [*processes, "--trainer.sync_batchnorm", "false"]}
    for name, more in cases.items():
        finished = run_quickly(FIT, *exact, *more, "--name", name, cwd=workspace)
        assert finished.returncode == 0, finished.stderr
    one, on, off = (float(metric_rows(RunDirectory(name))[0]["train/loss"]) for name in cases)
    assert on == pytest.approx(one, rel=1e-9)
    assert off != pytest.approx(one, rel=1e-4)

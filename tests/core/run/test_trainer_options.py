"""Through fit.py the Trainer's options work as Lightning documents."""

from pathlib import Path

import pytest

from convblocks.data.images import ImageSets
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from tests.conftest import DEBUG, REPOSITORY, write_digits
from tests.core.run.test_distributed import FIT
from tests.core.run.test_fit import QUICK, TENSORBOARD, curves, metric_rows, quick_run
from tests.quick_python import run_quickly

# Those of the lab's network are in tests/lab.
CONFIGS = [
    path
    for path in sorted((REPOSITORY / "configs").glob("*.yaml"))
    if "arch: lab." not in path.read_text()
]
TWO = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]


def places(run: RunDirectory) -> list[tuple[int, int]]:
    """The epoch and the step of each row of ``metrics.csv``."""
    return [(int(row["epoch"]), int(row["step"])) for row in metric_rows(run)]


def assert_trains_by(config: Path) -> None:
    arch = [] if "arch:" in config.read_text() else ["--arch", "mlp"]
    batches = [f"--trainer.limit_{part}_batches=1" for part in ("train", "val", "test")]
    fit.main([*arch, "--config", str(config), *QUICK, *batches, "--epochs", "1", "--name", "run"])
    assert RunDirectory("run").result_after(1)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_config_trains(workspace: Path, config: Path) -> None:
    assert_trains_by(config)


def test_max_steps_ends_a_run_within_an_epoch_and_tests_it(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = quick_run("--trainer.max_steps", "27")
    assert places(run) == [(1, 20), (2, 27)]
    assert run.read_result().final["test/acc"] == float(metric_rows(run)[-1]["test/acc"])
    assert "ended by max_steps=27" in capsys.readouterr().out
    fit.main(["--name", "run", "--resume"])
    assert "is finished: it has 2 epochs, and was ended by max_steps=27" in capsys.readouterr().out


@pytest.mark.slow
def test_max_time_ends_a_run(workspace: Path) -> None:
    fit.main(["--arch", "maxpool", "--name", "run", *QUICK, "--trainer.max_time", "00:00:00:01"])
    assert RunDirectory("run").read_result().ended_by == "its max_time"


def test_val_check_interval_gives_a_row_to_each_evaluation(workspace: Path) -> None:
    run = quick_run("--trainer.val_check_interval", "0.25", *TENSORBOARD)
    assert places(run) == [(1, 5), (1, 10), (1, 15), (1, 20), (2, 25), (2, 30), (2, 35), (2, 40)]
    rows, result = metric_rows(run), run.read_result()
    assert all(row["test/acc"] for row in rows)
    assert [row["step"] for row in rows if row["train/loss"]] == ["20", "40"]
    assert [step for step, _ in curves(run)["test/acc"]] == [4, 9, 14, 19, 24, 29, 34, 39]
    assert (len(result.epochs), len(result.evaluations)) == (2, 6)


def test_default_root_dir_holds_the_runs(workspace: Path) -> None:
    scratch = ["--trainer.default_root_dir", "scratch"]
    quick_run("--epochs", "1", *scratch)
    fit.main(["--name", "run", "--resume", "--epochs", "2", *scratch])
    assert places(RunDirectory("run", Path("scratch"))) == [(1, 20), (2, 40)]
    assert list(workspace.iterdir()) == [workspace / "scratch"]


def run_command(name: str, *flags: str) -> RunDirectory:
    """Run the command in the current folder, in a process that can start others."""
    finished = run_quickly(FIT, *QUICK, *flags, "--name", name, cwd=Path.cwd())
    assert finished.returncode == 0, finished.stderr
    return RunDirectory(name)


@pytest.mark.slow
def test_batch_norm_of_torch_is_synchronised_unless_switched_off(
    own_networks: Path, digits: ImageSets
) -> None:
    """Each process then normalises by the statistics of its own images."""
    write_digits(Path("digits"), digits, train=150 * 62, test=200)
    arch = [
        "--arch",
        "own_networks.Normalised",
        "--network.affine=false",
        "--network.momentum=null",
    ]
    flags = [
        *DEBUG,
        "--data.root",
        "digits",
        *arch,
        "--epochs",
        "1",
        "--trainer.precision",
        "64-true",
    ]
    # Not Adam: of pixels that are always the same it makes a step of what rounding
    # leaves of their gradients.
    flags += ["--optimizer", "sgd", "--trainer.accelerator", "cpu", "--threads"]
    alone, on = run_command("one", *flags, "1"), run_command("on", *flags, "1", *TWO)
    off = run_command("off", *flags, "3", *TWO, "--trainer.sync_batchnorm", "false")
    for metric in ("train/loss", "test/loss"):
        expected, synchronised, apart = (
            float(metric_rows(run)[0][metric]) for run in (alone, on, off)
        )
        assert synchronised == pytest.approx(expected, rel=1e-9)
        assert apart != pytest.approx(expected, rel=1e-4)
    # Not those that Lightning sets where it starts processes: one for each core, shared among them.
    assert off.read_result().provenance.threads == 3

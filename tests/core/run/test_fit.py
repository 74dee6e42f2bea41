"""A run, from the command to its directory: files, resuming, one-line errors."""

import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from convblocks.errors import UsageError
from convblocks.record.directory import LOGS, RunDirectory
from convblocks.record.result import RunResult
from convblocks.run import fit
from convblocks.run.callbacks import RunCallback
from convblocks.run.run import Run
from tests.conftest import DEBUG

Curve = list[tuple[int, float]]

# Without TensorBoard a run of a few batches is faster: for tests that look at something else.
QUICK = ["--trainer.logger", "false"]
TENSORBOARD = ["--trainer.logger", "true"]


def train(*flags: str) -> None:
    fit.main([*DEBUG, *flags])


def quick_run(*flags: str, name: str = "run") -> RunDirectory:
    """Train for two short epochs, an MLP without TensorBoard unless the flags say otherwise."""
    train("--arch", "mlp", *QUICK, *flags, "--name", name)
    return RunDirectory(name)


def weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(run.last_checkpoint, map_location="cpu", weights_only=True)
    state: dict[str, torch.Tensor] = checkpoint["state_dict"]
    return state


def metric_rows(run: RunDirectory) -> list[dict[str, str]]:
    """The rows of ``metrics.csv`` without times."""
    with run.metrics.open() as file:
        return [
            {name: value for name, value in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]


def curves(run: RunDirectory) -> dict[str, Curve]:
    """The scalars that TensorBoard shows, by tag, as (step, value)."""
    events = EventAccumulator(str(run.path)).Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def assert_same_weights(run: RunDirectory, expected: RunDirectory) -> None:
    first, second = weights(run), weights(expected)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def assert_same_end(resumed: RunDirectory, whole: RunDirectory) -> None:
    """The weights, the rows of metrics.csv, and the curves of TensorBoard, with no step
    missing or twice.
    """
    assert_same_weights(resumed, whole)
    assert metric_rows(resumed) == metric_rows(whole)
    expected, curves_of_both = curves(whole), curves(resumed)
    assert expected.keys() == curves_of_both.keys()
    differing = [tag for tag in expected if curves_of_both[tag] != expected[tag]]
    assert {*differing} <= {
        "seconds",
        "vitals/speed/seconds",
    }  # the latter with the wing for TensorBoard


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run of two short epochs; read-only."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train("--arch", "mlp", "--name", "run")
    return folder


@pytest.fixture
def run(finished: Path, workspace: Path) -> RunDirectory:
    """A copy of that run in the current directory."""
    shutil.copytree(finished / LOGS, LOGS)
    return RunDirectory("run")


def test_run_leaves_its_files_rows_and_summary(run: RunDirectory) -> None:
    names = {
        path.name
        for path in run.path.iterdir()
        if not path.name.startswith((".", "events.out.tfevents"))
    }
    files = {"config.yaml", "hparams.yaml", "metrics.csv", "provenance.json", "summary.json"}
    assert names - {"mistakes.csv"} == {"checkpoints", *files}  # which a wing writes
    assert {path.name for path in run.last_checkpoint.parent.iterdir()} == {"last.ckpt"}

    rows = metric_rows(run)
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "20"), ("2", "40")]
    assert list(rows[0])[:5] == ["epoch", "step", "train/lr", "train/loss", "train/acc"]
    assert {"test/loss", "test/acc"} <= rows[0].keys()  # and those of wings
    assert float(rows[1]["train/loss"]) < float(rows[0]["train/loss"])

    result = run.read_result()
    assert (result.arch, result.parameters, result.seed) == ("mlp", 79_510, 0)
    expected = {
        "lr": 0.01,
        "batch_size": 64,
        "optimizer": "adam",
        "lr_scheduler": "constant",
        "loss": "cross_entropy",
    }
    assert expected.items() <= result.hparams.items()
    assert (str(result.judge), str(result.monitor)) == ("val/acc:max:%", "val/loss:min")
    for row, epoch in zip(rows, result.epochs, strict=True):
        assert {"seconds": epoch["seconds"]} | {
            name: float(value) for name, value in row.items()
        } == epoch
    assert result.score == result.epochs[-1]["test/acc"]
    assert (result.ended_by, result.failed) == ("its epochs", False)
    assert (result.provenance.device, result.provenance.threads) == ("cpu", torch.get_num_threads())


def test_run_of_the_saved_config_has_the_same_weights_and_another_seed_others(
    run: RunDirectory,
) -> None:
    fit.main(["--config", str(run.config), "--name", "again", *QUICK])
    assert_same_weights(RunDirectory("again"), run)
    another = quick_run("--seed", "1", name="another")
    assert not torch.equal(
        *(next(iter(weights(directory).values())) for directory in (run, another))
    )


def test_run_that_is_finished_is_left_alone(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    before = run.summary.read_text()
    with pytest.raises(
        UsageError, match="exists: continue with --resume, or choose another --name"
    ):
        quick_run()
    fit.main(["--name", "run", "--resume"])
    assert "lightning_logs/run is finished: it has 2 epochs" in capsys.readouterr().out
    fit.main(["--name", "run", "--resume", "--epochs", "1"])
    with pytest.raises(UsageError, match=r"was begun with model\.lr=0\.01, not 0\.5"):
        fit.main(["--name", "run", "--resume", "--lr", "0.5"])
    assert run.summary.read_text() == before


def test_resume_with_more_epochs_has_the_curves_of_a_longer_run(run: RunDirectory) -> None:
    fit.main(["--name", "run", "--resume", "--epochs", "4"])
    whole = quick_run("--epochs", "4", *TENSORBOARD, name="whole")
    assert_same_end(run, whole)


@pytest.mark.parametrize(
    "flags", [["--lr", "0.1"], ["--seed", "1"], ["--epochs", "1"], ["--data.val_size", "10"]]
)
def test_resume_with_other_settings_is_refused(run: RunDirectory, flags: list[str]) -> None:
    run.summary.unlink()
    with pytest.raises(UsageError, match=f"was begun with .*{flags[0].lstrip('-')}="):
        fit.main(["--name", "run", "--resume", *flags])


def test_resume_cannot_extend_a_schedule_over_the_whole_run(workspace: Path) -> None:
    quick_run("--lr_scheduler", "onecycle")
    with pytest.raises(UsageError, match=r"was begun with trainer\.max_epochs=2"):
        fit.main(["--name", "run", "--resume", "--epochs", "3"])


def test_validation_split_keeps_the_best_evaluation_and_tests_once(workspace: Path) -> None:
    run = quick_run(
        "--data.val_size",
        "2000",
        "--lr",
        "0.1",
        "--trainer.val_check_interval",
        "0.25",
        *TENSORBOARD,
    )
    rows = metric_rows(run)
    assert rows[0].keys() >= {"epoch", "step", "train/loss", "train/acc", "val/loss", "val/acc"}
    lowest = min(rows, key=lambda row: float(row["val/loss"]))
    assert (
        torch.load(run.best_checkpoint, weights_only=True)["global_step"]
        == int(lowest["step"])
        < 40
    )
    assert run.read_result().final.keys() >= {"test/loss", "test/acc"}
    assert "test/acc" not in {name for row in rows for name in row}


class Failing(RunCallback):
    """Fails where a callback may add to the result."""

    def on_result(self, run: Run, result: RunResult) -> RunResult:
        raise ZeroDivisionError


class Judging(RunCallback):
    """Adds to the result, and to the last lines."""

    def on_result(self, run: Run, result: RunResult) -> RunResult:
        return replace(result, facts={"seen": ["yes"]})

    def last_lines(self, run: Run, result: RunResult) -> Sequence[str]:
        return [f"seen: {result.facts['seen'][0]}", "and then  convblocks fit"]


def test_callback_adds_to_the_result_and_to_the_last_lines(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit.main([*DEBUG, "--arch", "mlp", *QUICK, "--name", "run", "--epochs", "1"], [Judging()])
    assert "\nseen: yes\nand then  convblocks fit\n" in capsys.readouterr().out


def test_callback_that_fails_at_the_end_spares_the_others_and_the_summary(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit.main(
        [*DEBUG, "--arch", "mlp", *QUICK, "--name", "run", "--epochs", "1"], [Failing(), Judging()]
    )
    assert "Failing adds is left out: ZeroDivisionError: " in capsys.readouterr().err
    assert RunDirectory("run").read_result().facts["seen"] == ["yes"]

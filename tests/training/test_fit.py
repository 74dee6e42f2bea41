"""A run, from the command to its directory: files, resuming, one-line errors."""

import csv
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from convblocks.data.images import ImageSets, ImageSpec
from convblocks.errors import DataError, UsageError, UserError
from convblocks.model.networks import ARCHITECTURES
from convblocks.runs.directory import LOGS, RunDirectory
from convblocks.training import finish, fit
from tests.conftest import DEBUG, write_digits

Curve = list[tuple[int, float]]

# Drawing TensorBoard's pictures takes half of a run of a few batches: for tests that look at something else.
QUICK = ["--trainer.logger", "false"]


def train(*flags: str) -> None:
    fit.main([*DEBUG, *flags])


def weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    return state


def metric_rows(run: RunDirectory) -> list[dict[str, str]]:
    """The rows of ``metrics.csv`` without times."""
    with run.metrics.open() as file:
        return [
            {name: value for name, value in row.items() if name not in ("seconds", "images_per_second")}
            for row in csv.DictReader(file)
        ]


def curves(run: RunDirectory) -> dict[str, Curve]:
    """The scalars that TensorBoard shows, by tag, as (step, value)."""
    events = EventAccumulator(str(run.path)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def assert_same_weights(one: RunDirectory, other: RunDirectory) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


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
    """A finished run of two short epochs in an empty current directory."""
    shutil.copytree(finished / LOGS, LOGS)
    return RunDirectory("run")


def test_a_run_leaves_its_files(run: RunDirectory) -> None:
    hidden_or_events = (".", "events.out.tfevents")
    names = {path.name for path in run.path.iterdir() if not path.name.startswith(hidden_or_events)}
    files = {"config.yaml", "hparams.yaml", "metrics.csv", "mistakes.csv", "provenance.json", "summary.json"}
    assert names == {"checkpoints", *files}
    assert {path.name for path in run.last_checkpoint.parent.iterdir()} == {"last.ckpt", "previous-last.ckpt"}
    assert list(run.path.glob("events.out.tfevents*"))


def test_metrics_have_one_row_an_epoch(run: RunDirectory) -> None:
    rows = metric_rows(run)
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "20"), ("2", "40")]
    assert list(rows[0]) == ["epoch", "step", "train/loss", "train/acc", "test/loss", "test/acc", "dead/relu1"]
    assert float(rows[1]["train/loss"]) < float(rows[0]["train/loss"])


def test_the_summary_describes_the_run(run: RunDirectory) -> None:
    result = run.read_result()
    assert (result.arch, result.parameters, result.seed, result.lr_scheduler) == ("mlp", 79_510, 0, "constant")
    assert (result.lr, result.batch_size) == (0.01, 64)
    assert list(result.epochs) == run.read_metrics()
    assert result.accuracy == result.epochs[-1]["test/acc"]
    assert (result.ended_by, result.collapsed) == ("its epochs", False)
    assert (result.provenance.device, result.provenance.threads) == ("cpu", torch.get_num_threads())
    assert (result.images.train, result.images.test) == (60_000, 10_000)


def test_tensorboard_shows_the_curves(run: RunDirectory) -> None:
    shown = curves(run)
    for tag in ("train/loss", "train/acc", "test/loss", "test/acc"):
        assert [step for step, _ in shown[tag]] == [19, 39]  # Lightning's loggers count from 0
        assert [value for _, value in shown[tag]] == pytest.approx([float(row[tag]) for row in metric_rows(run)])
    assert [step for step, _ in shown["train/loss_step"]] == list(range(4, 40, 5))
    assert [value for _, value in shown["train/lr"]] == [pytest.approx(0.01)] * 8
    assert len(shown["vitals/speed/images_per_second"]) == len(shown["vitals/speed/seconds"]) == 2


def test_final_metrics_for_the_hparams_tab_have_tags_of_their_own(run: RunDirectory) -> None:
    shown = curves(run)
    (point,) = shown["when_done/test_acc"]
    assert point == pytest.approx((40, float(metric_rows(run)[-1]["test/acc"])))
    assert "hp_metric" not in shown


def test_the_same_command_gives_the_same_weights(run: RunDirectory) -> None:
    train("--arch", "mlp", "--name", "again", *QUICK)
    assert_same_weights(run, RunDirectory("again"))


def test_another_seed_gives_other_weights(run: RunDirectory) -> None:
    train("--arch", "mlp", "--name", "other", "--seed", "1", *QUICK)
    assert not torch.equal(*(next(iter(weights(r).values())) for r in (run, RunDirectory("other"))))


@pytest.mark.slow
def test_runs_without_a_name_are_numbered(workspace: Path) -> None:
    for _ in range(2):
        train("--arch", "mlp", "--epochs", "1")
    assert all(RunDirectory(f"mlp/version_{number}").result_after(1) for number in (0, 1))


def test_a_saved_config_repeats_the_run(run: RunDirectory) -> None:
    fit.main(["--config", str(run.config), "--name", "again"])
    assert_same_weights(run, RunDirectory("again"))


def test_an_existing_name_is_refused(run: RunDirectory) -> None:
    before = run.summary.read_text()
    with pytest.raises(UsageError, match="exists: carry on with --resume, or choose another --name"):
        train("--arch", "mlp", "--name", "run")
    assert run.summary.read_text() == before


def test_resuming_a_finished_run_prints_that_it_is_finished(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    fit.main(["--name", "run", "--resume"])
    assert "lightning_logs/run is finished: it has 2 epochs" in capsys.readouterr().out


def test_resume_starts_a_run_that_is_not_there(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "new", "--resume", *QUICK)
    assert RunDirectory("new").result_after(2)


def test_more_epochs_extend_a_run_into_the_same_curves(run: RunDirectory) -> None:
    fit.main(["--name", "run", "--resume", "--epochs", "4"])
    train("--arch", "mlp", "--name", "whole", "--epochs", "4")
    whole = RunDirectory("whole")
    assert_same_weights(run, whole)
    assert metric_rows(run) == metric_rows(whole)
    resumed = curves(run)
    for tag in ("train/loss", "test/acc", "train/loss_step", "train/lr"):
        assert resumed[tag] == curves(whole)[tag]


def test_an_interrupted_run_resumes_to_the_same_end(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in epoch 2: steps that the resumed run repeats are not logged twice."""
    steps = 0

    def interrupt(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 33:
            raise KeyboardInterrupt

    interrupted = RunDirectory("interrupted")
    with monkeypatch.context() as patch:
        patch.setattr("convblocks.model.classifier.DigitClassifier.on_before_zero_grad", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train("--arch", "mlp", "--name", "interrupted")
    assert not interrupted.result_after(2)
    assert len(metric_rows(interrupted)) == 1
    fit.main(["--name", "interrupted", "--resume"])
    assert_same_weights(run, interrupted)
    assert metric_rows(run) == metric_rows(interrupted)
    assert curves(run)["train/loss_step"] == curves(interrupted)["train/loss_step"]


@pytest.mark.parametrize("flags", [["--lr", "0.1"], ["--seed", "1"], ["--epochs", "1"], ["--data.val_size", "10"]])
def test_a_resume_with_other_settings_is_refused(run: RunDirectory, flags: list[str]) -> None:
    run.summary.unlink()
    with pytest.raises(UsageError, match=f"was begun with .*{flags[0].lstrip('-')}="):
        fit.main(["--name", "run", "--resume", *flags])


def test_a_schedule_cannot_be_extended(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "cycle", "--lr_scheduler", "onecycle", *QUICK)
    with pytest.raises(UsageError, match="was begun with epochs=2"):
        fit.main(["--name", "cycle", "--resume", "--epochs", "3"])


@pytest.mark.slow
def test_with_a_validation_split_the_best_epoch_is_tested_once(workspace: Path) -> None:
    train("--arch", "mlp", "--name", "val", "--data.val_size", "2000", "--lr", "0.03", "--epochs", "4")
    run = RunDirectory("val")
    rows = metric_rows(run)
    assert list(rows[0]) == ["epoch", "step", "train/loss", "train/acc", "val/loss", "val/acc", "dead/relu1"]
    best = torch.load(run.best_checkpoint, weights_only=True)
    lowest = min(rows, key=lambda row: float(row["val/loss"]))
    assert best["global_step"] == int(lowest["step"])
    assert [step for step, _ in curves(run)["when_done/test_acc"]] == [80]
    assert run.read_result().final.keys() == {"test/loss", "test/acc", "dead/relu1"}


class Rows(nn.Module):
    """A recurrent network that reads an image row by row: its first weights cannot be shown as images."""

    def __init__(self, image_spec: ImageSpec) -> None:
        super().__init__()
        self.rnn = nn.GRU(28, 16, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        states, _ = self.rnn(images.squeeze(1))
        logits: torch.Tensor = self.head(states[:, -1])
        return logits


@pytest.mark.slow
def test_a_network_whose_filters_cannot_be_drawn_leaves_a_whole_run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "rows", Rows)
    train("--arch", "rows", "--name", "rows")
    events = EventAccumulator(str(RunDirectory("rows").path)).Reload()
    assert events.Tags()["images"] == ["visuals/evaluation"]
    assert RunDirectory("rows").result_after(2)


def test_a_failure_after_training_does_not_lose_the_summary(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(finish, "write_evaluation", fail)
    with pytest.raises(ZeroDivisionError):
        train("--arch", "mlp", "--name", "run")
    assert RunDirectory("run").result_after(2)


@pytest.mark.slow
def test_a_collapsed_run_prints_that_it_collapsed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--arch", "maxpool", "--name", "collapsed", "--lr", "30")
    assert "This run collapsed" in capsys.readouterr().out
    assert RunDirectory("collapsed").read_result().collapsed


def test_the_running_loss_is_printed_if_asked_for(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--arch", "mlp", "--running_loss", "--epochs", "1", *QUICK)
    assert capsys.readouterr().out.count("epoch 1  batch") == 4


@pytest.mark.slow
def test_other_data_is_announced(workspace: Path, digits: ImageSets, capsys: pytest.CaptureFixture[str]) -> None:
    write_digits(workspace / "Small" / "raw", digits)
    train("--arch", "mlp", "--data.root", str(workspace))
    assert "test images (not the original MNIST), 1 x 28 x 28 pixels" in capsys.readouterr().out


def test_a_bad_data_root_leaves_no_run(workspace: Path) -> None:
    (workspace / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        train("--arch", "mlp", "--data.root", "file")
    assert not (workspace / "lightning_logs").exists()


def test_an_unwritable_log_directory_is_one_line(workspace: Path) -> None:
    (workspace / "lightning_logs").touch()
    with pytest.raises(UserError, match="cannot write to lightning_logs/mlp/version_0"):
        train("--arch", "mlp")


def test_the_config_in_the_run_directory_repeats_the_run(run: RunDirectory) -> None:
    settings = yaml.safe_load(run.config.read_text())
    assert (settings["arch"], settings["epochs"], settings["trainer"]["limit_train_batches"]) == ("mlp", 2, 20)
    assert "name" not in settings


def test_a_folder_that_is_not_a_run_cannot_be_resumed(run: RunDirectory) -> None:
    shutil.copytree(run.path, RunDirectory("parent/child").path)
    with pytest.raises(UsageError, match="is not a run that can be resumed"):
        train("--arch", "mlp", "--name", "parent", "--resume")

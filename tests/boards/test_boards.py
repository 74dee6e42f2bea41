"""Loggers: what one sees first in TensorBoard, and one curve in each, however often a
run is resumed.
"""

import json
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from exact_resume import signals
from tests.conftest import DEBUG, needs
from tests.core.run.test_fit import TENSORBOARD, curves, metric_rows, quick_run
from tests.core.run.test_resume import fit_until
from tests.scripts import run_script


def test_tensorboard_has_curves_final_values_and_settings(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a grid over it.
    monkeypatch.setattr(sys, "argv", ["convblocks", "fit", "--data.rotation=0"])
    run = quick_run(*TENSORBOARD)
    curve, rows = curves(run), metric_rows(run)
    for tag in ("train/loss", "test/acc", "vitals/dead/relu1"):  # Lightning's loggers count from 0
        values = [float(row[tag.removeprefix("vitals/")]) for row in rows]
        assert dict(curve[tag]) == pytest.approx({19: values[0], 39: values[1]})
    assert [step for step, _ in curve["train/loss_step"]] == list(range(4, 40, 5))
    assert curve["when_done/test_acc"] == [pytest.approx((40, float(rows[-1]["test/acc"])))]
    groups = sorted({tag.partition("/")[0] for tag in curve})  # TensorBoard opens the first two
    assert groups == ["test", "train", "vitals", "when_done"]
    events = EventAccumulator(str(run.path)).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["arch"].string_value == "mlp"
    assert {"lr", "lr_scheduler", "batch_size", "seed", "rotation", "limit_train_batches"} <= set(
        settings
    )
    # Nobody has changed these.
    assert not {"model", "loss", "optimizer", "shift", "val_size"} & set(settings)
    content = events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    metrics = HParamsPluginData.FromString(content).experiment.metric_infos
    assert metrics[0].name.tag == "when_done/test_acc"


LOGGER = "--trainer.logger"
TAGS = ("train/loss", "test/acc", "train/loss_step", "train/lr")


def test_loggers_have_one_curve_each_after_a_resume(workspace: Path) -> None:
    folders = ["first", "second"]
    flags = [
        option
        for folder in folders
        for option in (f"{LOGGER}+=TensorBoardLogger", f"{LOGGER}.save_dir={folder}")
    ]
    signals.install()
    fit_until(27, [*DEBUG, "--arch", "mlp", "--name", "run", *flags])
    fit.main(["--name", "run", "--resume"])
    expected = curves(RunDirectory("run"))
    for folder in folders:
        curve = curves(RunDirectory("version_0", Path(folder)))
        assert all(dict(curve[tag]) == pytest.approx(dict(expected[tag])) for tag in TAGS)
    assert [
        path.name for folder in folders for path in Path(folder, "lightning_logs").iterdir()
    ] == ["version_0"] * 2
    assert (
        "trainer.limit_train_batches: 20"
        in Path("first/lightning_logs/version_0/hparams.yaml").read_text()
    )


@pytest.mark.nightly
def test_logger_of_wandb_continues_under_the_same_id(workspace: Path) -> None:
    """Offline it writes a folder for each part, which `wandb sync` joins by their id."""
    needs("wandb")
    logger = [f"{LOGGER}=WandbLogger", f"{LOGGER}.offline=true", f"{LOGGER}.save_dir=wandb_runs"]
    for flags in (
        [*DEBUG, "--arch", "mlp", *logger, "--epochs", "1"],
        ["--resume", "--epochs", "2"],
    ):
        finished = run_script("fit", "--name", "run", *flags, cwd=workspace)
        assert finished.returncode == 0, finished.stderr
    (identity,) = json.loads(RunDirectory("run").loggers.read_text())
    parts = list(Path("wandb_runs/wandb").glob("offline-run-*"))
    assert len(parts) == 2
    assert all(part.name.endswith(f"-{identity}") for part in parts)
    for part in parts:
        (uploaded,) = part.glob("*.wandb")
        assert all(tag.encode() in uploaded.read_bytes() for tag in TAGS)

"""Loggers beside TensorBoard's: the same metrics and settings, and one curve, however often a run is resumed."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from convblocks.runs.directory import RunDirectory
from convblocks.training import fit, signals
from tests.conftest import DEBUG, needs
from tests.scripts import run_script
from tests.training.test_fit import Curve, curves
from tests.training.test_resume import fit_until

LOGGER = "--trainer.logger"
CSV = [f"{LOGGER}=CSVLogger", f"{LOGGER}.save_dir=csv"]
MLFLOW = [f"{LOGGER}=MLFlowLogger", f"{LOGGER}.tracking_uri=sqlite:///mlflow.db"]
WANDB = [f"{LOGGER}=WandbLogger", f"{LOGGER}.offline=true", f"{LOGGER}.save_dir=wandb_runs"]


def stop_and_resume(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    """A run named run, stopped in its second epoch and resumed, both in the test's own process."""
    signals.install()
    fit_until(27, [*DEBUG, "--arch", "mlp", "--name", "run", *flags], monkeypatch)
    fit.main(["--name", "run", "--resume"])


def csv_curve(path: Path, tag: str) -> Curve:
    with path.open() as file:
        return [(int(row["step"]), float(row[tag])) for row in csv.DictReader(file) if row[tag]]


def test_a_csv_logger_writes_what_tensorboard_shows(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_and_resume(monkeypatch, *CSV)
    (folder,) = Path("csv/lightning_logs").iterdir()
    shown = curves(RunDirectory("run"))
    for tag in ("train/loss", "test/acc", "train/loss_step", "train/lr"):
        assert dict(csv_curve(folder / "metrics.csv", tag)) == pytest.approx(dict(shown[tag]))
    assert "trainer.limit_train_batches: 20" in (folder / "hparams.yaml").read_text()


def test_several_loggers_can_be_added(workspace: Path) -> None:
    second = [f"{LOGGER}+=CSVLogger", f"{LOGGER}.save_dir=second"]
    fit.main([*DEBUG, "--arch", "mlp", "--name", "run", f"{LOGGER}+=CSVLogger", f"{LOGGER}.save_dir=first", *second])
    assert Path("first/lightning_logs/version_0/metrics.csv").is_file()
    assert Path("second/lightning_logs/version_0/metrics.csv").is_file()
    assert "test/acc" in curves(RunDirectory("run"))


def mlflow_run() -> Any:
    """The only run in the database, with its client."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient("sqlite:///mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'lightning_logs'")
    (run,) = client.search_runs([experiment.experiment_id])
    return client, run


# Of mlflow's own: it uses what its dependencies deprecate.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.slow
def test_mlflow_keeps_one_run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("mlflow")
    stop_and_resume(monkeypatch, *MLFLOW)
    client, run = mlflow_run()
    assert run.info.status == "FINISHED"
    assert run.data.params["trainer.limit_train_batches"] == "20"
    shown = curves(RunDirectory("run"))
    for tag in ("train/loss", "test/acc", "train/loss_step", "train/lr"):
        points = {point.step: point.value for point in client.get_metric_history(run.info.run_id, tag)}
        assert points == pytest.approx(dict(shown[tag]))


@pytest.mark.slow
def test_wandb_goes_on_under_the_same_id(workspace: Path) -> None:
    """Offline it writes a folder for each part, which `wandb sync` joins by their id."""
    needs("wandb")
    command = [*DEBUG, "--arch", "mlp", "--name", "run", *WANDB]
    assert run_script("fit", *command, "--epochs", "1", cwd=workspace).returncode == 0
    resumed = run_script("fit", "--name", "run", "--resume", "--epochs", "2", cwd=workspace)
    assert resumed.returncode == 0, resumed.stderr
    (identity,) = json.loads(RunDirectory("run").loggers.read_text())
    parts = list(Path("wandb_runs/wandb").glob("offline-run-*"))
    assert len(parts) == 2
    assert all(part.name.endswith(f"-{identity}") for part in parts)
    for part in parts:
        (uploaded,) = part.glob("*.wandb")
        for tag in ("train/loss", "test/acc", "train/loss_step", "train/lr"):
            assert tag.encode() in uploaded.read_bytes()

"""Loggers beside TensorBoard's: the same metrics and settings, and one curve, however often a run is resumed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from convblocks.run import fit, signals
from convblocks.run.directory import RunDirectory
from tests.conftest import DEBUG, needs
from tests.core.run.test_fit import Curve, curves
from tests.core.run.test_resume import fit_until
from tests.scripts import run_script

LOGGER = "--trainer.logger"
TAGS = ("train/loss", "test/acc", "train/loss_step", "train/lr")


def assert_one_curve_after_a_resume(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, curve: Callable[[str], Curve]
) -> None:
    """Stop a run in its second epoch, resume it, and compare a logger's curves with TensorBoard's."""
    signals.install()
    fit_until(27, [*DEBUG, "--arch", "mlp", "--name", "run", *flags])
    fit.main(["--name", "run", "--resume"])
    shown = curves(RunDirectory("run"))
    for tag in TAGS:
        assert dict(curve(tag)) == pytest.approx(dict(shown[tag]))


def test_two_loggers_of_a_kind(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = ["first", "second"]
    versions = [RunDirectory("version_0", Path(folder)) for folder in folders]

    def curve(tag: str) -> Curve:
        first, second = (curves(version)[tag] for version in versions)
        assert first == second
        return first

    flags = [option for folder in folders for option in (f"{LOGGER}+=TensorBoardLogger", f"{LOGGER}.save_dir={folder}")]
    assert_one_curve_after_a_resume(flags, monkeypatch, curve)
    assert [path.name for folder in folders for path in Path(folder, "lightning_logs").iterdir()] == ["version_0"] * 2
    assert "trainer.limit_train_batches: 20" in (versions[0].path / "hparams.yaml").read_text()


# Of mlflow's own: it uses what its dependencies deprecate.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.nightly
def test_mlflow(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("mlflow")
    from mlflow.tracking import MlflowClient

    client = MlflowClient("sqlite:///mlflow.db")

    def curve(tag: str) -> Curve:
        (experiment,) = client.search_experiments(filter_string="name = 'lightning_logs'")
        (run,) = client.search_runs([experiment.experiment_id])
        assert (run.info.status, run.data.params["trainer.limit_train_batches"]) == ("FINISHED", "20")
        return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, tag)]

    flags = [f"{LOGGER}=MLFlowLogger", f"{LOGGER}.tracking_uri=sqlite:///mlflow.db"]
    assert_one_curve_after_a_resume(flags, monkeypatch, curve)


@pytest.mark.nightly
def test_wandb_goes_on_under_the_same_id(workspace: Path) -> None:
    """Offline it writes a folder for each part, which `wandb sync` joins by their id."""
    needs("wandb")
    logger = [f"{LOGGER}=WandbLogger", f"{LOGGER}.offline=true", f"{LOGGER}.save_dir=wandb_runs"]
    for flags in ([*DEBUG, "--arch", "mlp", *logger, "--epochs", "1"], ["--resume", "--epochs", "2"]):
        finished = run_script("fit", "--name", "run", *flags, cwd=workspace)
        assert finished.returncode == 0, finished.stderr
    (identity,) = json.loads(RunDirectory("run").loggers.read_text())
    parts = list(Path("wandb_runs/wandb").glob("offline-run-*"))
    assert len(parts) == 2
    assert all(part.name.endswith(f"-{identity}") for part in parts)
    for part in parts:
        (uploaded,) = part.glob("*.wandb")
        assert all(tag.encode() in uploaded.read_bytes() for tag in TAGS)

"""Lightning's callbacks work through fit.py, beside its own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from convblocks.model.restore import load_network
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from tests.conftest import DEBUG
from tests.core.run.test_fit import QUICK, metric_rows, quick_run


def with_callback(name: str, option: str = "--trainer.callbacks", **arguments: Any) -> list[str]:
    """The options that add a callback."""
    return [
        f"{option}={name}",
        *(f"--trainer.callbacks.{key}={value}" for key, value in arguments.items()),
    ]


def added(name: str, **arguments: Any) -> list[str]:
    return with_callback(name, "--trainer.callbacks+", **arguments)


def resume(*flags: str) -> None:
    fit.main(["--name", "run", "--resume", *flags])


def test_callback_early_stopping_ends_a_run_which_is_done_then(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    never_better = with_callback("EarlyStopping", monitor="train/loss", patience=1, min_delta=9)
    run = quick_run("--epochs", "9", *never_better)
    result = run.read_result()
    assert len(metric_rows(run)) == 2
    assert result.ended_by.startswith("EarlyStopping: Monitored metric train/loss did not improve")
    assert run.result_after(9)
    capsys.readouterr()
    resume()
    assert "is finished: it has 2 epochs, and was ended by EarlyStopping" in capsys.readouterr().out
    run.summary.unlink()  # as if it was killed once it had ended itself
    resume()
    assert run.read_result() == result


def test_callbacks_for_checkpoints_keep_away_from_ours(workspace: Path) -> None:
    named = added(
        "ModelCheckpoint", monitor="val/loss", dirpath="own", filename="{epoch}", save_top_k=-1
    )
    run = quick_run("--data.val_size", "2000", *named, *added("ModelCheckpoint", save_last=True))
    assert {path.name for path in Path("own").iterdir()} == {"epoch=0.ckpt", "epoch=1.ckpt"}
    assert (run.path / "own_checkpoints" / "last.ckpt").is_file()
    assert {path.name for path in run.last_checkpoint.parent.glob("[!.]*")} == {
        "best.ckpt",
        "last.ckpt",
    }
    assert load_network(Path("own/epoch=1.ckpt")).arch == "mlp"


class Spoiled(Callback):
    """One of many weights is no longer finite at the end of the first epoch."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with torch.no_grad():
            next(pl_module.parameters())[0, 0] = torch.nan


def test_divergence_is_seen_in_a_single_weight(workspace: Path) -> None:
    fit.main([*DEBUG, *QUICK, "--arch", "mlp", "--name", "run"], [Spoiled()])
    result = RunDirectory("run").read_result()
    assert (result.failed, len(result.epochs)) == (True, 1)

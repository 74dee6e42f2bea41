"""Whether a check of somebody's own Trainer says what is true."""

from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from exact_resume import ExactResume, ResumeError, check_resume
from tests.any_task.changing import Taught
from tests.any_task.kinds import Kind, Plain
from tests.exact_resume.subjects import QUIET

EXACT = "exact within the first epoch, at the end of an epoch and within the second epoch"


def exact() -> tuple[Any, ...]:
    """A training with a logger and checkpoints of its own, which is given loaders."""
    seed_everything(0, verbose=False)
    callbacks = [ExactResume("own/state.ckpt"), LearningRateMonitor(), ModelCheckpoint("kept")]
    trainer = Trainer(**QUIET | {"max_epochs": 5, "callbacks": callbacks, "logger": CSVLogger("l")})
    data = Kind()
    return trainer, Plain(), data.train_dataloader(), data.val_dataloader()


def taught() -> tuple[Any, ...]:
    """A training without ExactResume, of a module that hides another one."""
    seed_everything(0, verbose=False)
    return Trainer(**QUIET | {"max_epochs": 5}), Taught(), Kind()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_check_finds_exact_what_is_and_leaves_no_file(tmp_path: Path) -> None:
    assert check_resume(exact) == (True, [EXACT])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_check_names_what_is_lost() -> None:
    is_exact, lines = check_resume(taught)
    assert not is_exact
    assert lines[-1].startswith("not restored: attribute teachers. Keep it in on_save_checkpoint")


def test_check_is_refused_under_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(ResumeError, match="call it outside of srun and torchrun"):
        check_resume(exact)

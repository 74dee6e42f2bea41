"""Whether a check of somebody's own Trainer says what is true."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import (
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

import exact_resume
from exact_resume import ExactResume, ResumeError, check_resume
from tests.any_task.changing import Taught
from tests.any_task.kinds import Composed, Kind, Plain
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


def accumulating() -> tuple[Any, ...]:
    """A training whose epochs accumulate differently, with checkpoints within them."""
    seed_everything(0, verbose=False)
    kept = ModelCheckpoint("kept", every_n_train_steps=1, save_top_k=-1)
    callbacks = [GradientAccumulationScheduler({1: 3}), kept]
    return Trainer(**QUIET | {"max_epochs": 5, "callbacks": callbacks}), Plain(), Kind()


def composed() -> tuple[Any, ...]:
    seed_everything(0, verbose=False)
    return Trainer(**QUIET | {"max_epochs": 5}), Composed(), Kind()


def of_torch() -> tuple[Any, ...]:
    """A training with torch's own loader, whose data draw."""
    seed_everything(0, verbose=False)
    return Trainer(**QUIET | {"max_epochs": 5}), Plain(), Kind("torch global")


def unseeded() -> tuple[Any, ...]:
    return Trainer(**QUIET | {"max_epochs": 5}), Plain(), Kind()


class Iterating(Plain):
    """Makes in the hook at the start of an epoch what its steps need."""

    def on_train_epoch_start(self) -> None:
        self.numbers = iter(range(100))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) + next(self.numbers)


def iterating() -> tuple[Any, ...]:
    seed_everything(0, verbose=False)
    return Trainer(**QUIET | {"max_epochs": 5}), Iterating(), Kind()


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


@pytest.mark.slow
@pytest.mark.parametrize("make", [composed, of_torch])
def test_check_finds_exact_what_others_do_not_restore(make: Callable[[], Any]) -> None:
    assert check_resume(make) == (True, [EXACT])


@pytest.mark.slow
def test_check_of_epochs_that_accumulate_differently() -> None:
    assert check_resume(accumulating) == (True, [EXACT])


@pytest.mark.slow
def test_check_tells_a_training_that_does_not_repeat_itself() -> None:
    is_exact, (line,) = check_resume(unseeded)
    assert not is_exact
    assert line.startswith(
        "not checked: without any stop the training does not repeat itself, from"
    )


@pytest.mark.slow
def test_check_says_of_which_error_a_resume_dies() -> None:
    is_exact, lines = check_resume(iterating)
    assert not is_exact
    assert lines[0] == "exact at the end of an epoch"
    assert "a resume fails: AttributeError: 'Iterating' object has no attribute" in lines[1]


@pytest.mark.slow
def test_check_of_a_script_as_in_the_manual(tmp_path: Path) -> None:
    manual = Path(exact_resume.__file__).with_name("README.md").read_text()
    (example,) = re.findall(r"```python\n([^`]*check_resume\(make\)[^`]*)```", manual)
    script = tmp_path / "script.py"
    script.write_text("from tests.any_task.kinds import Kind as Data, Plain as Model\n" + example)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    printed = subprocess.check_output([sys.executable, script], env=environment, text=True)
    assert EXACT in printed


def test_check_needs_a_function_that_can_be_imported() -> None:
    with pytest.raises(ResumeError, match="needs a function that other processes can import"):
        check_resume(lambda: exact())


def test_check_is_refused_under_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(ResumeError, match="call it outside of srun and torchrun"):
        check_resume(exact)

"""What a plain Trainer keeps in its checkpoints, and what their resume needs."""

from argparse import Namespace
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytest
import torch
from lightning import Trainer, seed_everything

from exact_resume import ExactResume, check_resume
from tests.any_task.kinds import Kind, Plain
from tests.exact_resume.subjects import QUIET
from tests.exact_resume.test_check import EXACT

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]

LINE = (
    "The checkpoint holds argparse.Namespace: a resume needs trainer.fit(..., "
    "weights_only=False), which trusts it\n"
)


class Configured(Plain):
    """Has an object among its hyper-parameters."""

    def __init__(self, options: Namespace) -> None:
        super().__init__()
        self.save_hyperparameters()


def fit(folder: Path, module: Plain, epochs: int, weights_only: bool | None = None) -> None:
    resume = ExactResume(folder / "last.ckpt")
    trainer = Trainer(max_epochs=epochs, callbacks=[resume], **QUIET)
    trainer.fit(module, datamodule=Kind(), ckpt_path=resume.ckpt_path, weights_only=weights_only)


def test_first_checkpoint_says_what_its_resume_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, and truly."""
    fit(tmp_path, Configured(Namespace(size=3)), 2)
    assert capsys.readouterr().out == LINE
    with pytest.raises(UnpicklingError):
        fit(tmp_path, Configured(Namespace(size=3)), 3)
    fit(tmp_path, Configured(Namespace(size=3)), 3, weights_only=False)
    assert capsys.readouterr().out == ""


def test_checkpoint_of_plain_values_needs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(tmp_path, Plain(), 1)
    fit(tmp_path, Plain(), 2)
    assert capsys.readouterr().out == ""


def test_checkpoint_of_torchs_old_format_is_written_without_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As programs ask for whose checkpoints others read."""
    old = partial(torch.save, _use_new_zipfile_serialization=False)
    monkeypatch.setattr(torch, "save", old)
    fit(tmp_path, Plain(), 1)
    assert capsys.readouterr().out == ""


def configured() -> tuple[Any, ...]:
    seed_everything(0, verbose=False)
    return Trainer(**QUIET | {"max_epochs": 5}), Configured(Namespace(size=3)), Kind()


@pytest.mark.slow
def test_check_passes_on_what_a_resume_needs() -> None:
    is_exact, lines = check_resume(configured)
    assert not is_exact
    assert "the checkpoint holds objects: weights_only=False reads it" in lines[0]
    assert check_resume(configured, weights_only=False) == (True, [EXACT])

"""A user's own checkpoints are the same after a kill and a resume as without."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from exact_resume import ExactResume, Stopped
from exact_resume.errors import NotRepeated
from tests.any_task.changing import ChangedInHooks
from tests.any_task.kinds import STEPS, Kind, Plain
from tests.any_task.loaders import Endless
from tests.any_task.stop import Signal, forget_signal
from tests.exact_resume.stopping import KILL, TERM, exit_code_of
from tests.exact_resume.subjects import QUIET

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # by torchdata
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]

CHECKPOINTS: dict[str, dict[str, Any]] = {
    "all": {"every_n_train_steps": 3, "save_top_k": -1},
    "best two": {"every_n_train_steps": 3, "save_top_k": 2, "monitor": "step", "mode": "max"},
    "last": {"every_n_train_steps": 3, "save_last": True},
    "of epochs": {"save_top_k": -1, "every_n_epochs": 1},
}


class Going(Kind):
    """Has a loader that does not give again what it gave."""

    def train_dataloader(self) -> Any:
        return Endless()


def train(
    folder: Path,
    kind: str,
    batch: int | None = None,
    ckpt_path: Path | None = None,
    signal: int = KILL,
    data: type[Kind] = Kind,
) -> dict[str, Any]:
    """Three epochs, or killed after a batch, from the exact checkpoint or another one; what
    is left of the user's checkpoints.
    """
    seed_everything(0, verbose=False)
    kept = ModelCheckpoint(folder / "kept", **CHECKPOINTS[kind])
    resume = ExactResume(folder / "last.ckpt")
    killing = [Signal(batch, signal)] if batch else []
    trainer = Trainer(max_epochs=3, callbacks=[resume, kept, *killing], **QUIET)
    trainer.fit(
        Plain(), datamodule=data(), ckpt_path=ckpt_path or resume.ckpt_path, weights_only=True
    )
    return {
        "files": sorted(path.name for path in (folder / "kept").iterdir()),
        "best": Path(kept.best_model_path).name,
        "last": Path(kept.last_model_path).name,
        "scores": {Path(path).name: float(score) for path, score in kept.best_k_models.items()},
    }


def kill(folder: Path, kind: str, batch: int) -> None:
    """A training that is killed after a batch."""
    assert exit_code_of(partial(train, folder, kind, batch)) == -KILL


@pytest.mark.slow
@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.parametrize("batch", [5, STEPS + 5, 2 * STEPS + 5])
def test_users_checkpoints_are_the_same_after_a_kill(kind: str, batch: int, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", kind)
    kill(tmp_path / "killed", kind, batch)
    assert train(tmp_path / "killed", kind) == whole


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_users_checkpoints_are_the_same_of_a_training_that_went_back(
    kind: str, tmp_path: Path
) -> None:
    """From within an epoch, to its beginning."""
    for name, batch in (("end", STEPS), ("within", STEPS + 5)):
        with pytest.raises(Stopped):
            train(tmp_path / name, kind, batch, signal=TERM, data=Going)
        forget_signal()
    before = tmp_path / "within" / "last-epoch-end.ckpt"
    with pytest.raises(NotRepeated):
        train(tmp_path / "within", kind, data=Going)
    whole = train(tmp_path / "end", kind, data=Going)
    assert train(tmp_path / "within", kind, ckpt_path=before, data=Going) == whole


def test_no_file_is_removed_that_was_there_before(tmp_path: Path) -> None:
    """One of the user's, of the name of a checkpoint to come."""
    mine = tmp_path / "killed" / "kept" / "epoch=1-step=9.ckpt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    kill(tmp_path / "killed", "all", STEPS + 5)
    train(tmp_path / "killed", "all")
    assert mine.read_text() == "mine"


def test_no_file_is_removed_that_has_taken_the_place_of_a_checkpoint(tmp_path: Path) -> None:
    """Of another training, or whatever else somebody lets the hidden file name."""
    kill(tmp_path / "killed", "all", STEPS + 5)
    journal = tmp_path / "killed" / ".last.ckpt.journal"
    _, name, *_ = journal.read_text().splitlines()
    others = tmp_path / "killed" / name
    torch.save({"mine": torch.ones(1), "exact_resume_after": "0" * 32}, others)
    (tmp_path / "letter").write_text("mine")
    journal.write_text(f"{journal.read_text()}../letter\n")
    train(tmp_path / "killed", "all")
    assert "mine" in torch.load(others)
    assert (tmp_path / "letter").is_file()


def test_users_checkpoint_is_loaded_where_there_is_no_exact_one(tmp_path: Path) -> None:
    """A training that was killed before its first exact save, resumed from the user's own."""
    folder = tmp_path / "killed"
    kill(folder, "all", 5)
    (mine,) = (folder / "kept").iterdir()
    assert train(folder, "all", ckpt_path=mine)["files"][0] == mine.name


def resumed_within_an_epoch(folder: Path, module: type[Plain], data: type[Kind]) -> Trainer:
    """Of a training that has ended: one from the user's own checkpoint in its second epoch."""
    kept = ModelCheckpoint(folder / "kept", every_n_train_steps=3, save_top_k=-1)
    for path in (None, folder / "kept" / "epoch=1-step=12.ckpt"):
        callbacks = [kept, ExactResume(folder / "last.ckpt")]
        trainer = Trainer(max_epochs=2, callbacks=[*callbacks], **QUIET)
        trainer.fit(module(), datamodule=data(), ckpt_path=path, weights_only=True)
    return trainer


@pytest.mark.parametrize(
    ("module", "line"),
    [(Plain, ""), (ChangedInHooks, "was written before the module's own on_train_batch_end")],
)
def test_users_checkpoint_before_a_hook_is_told(
    module: type[Plain], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lightning calls checkpoints before the module."""
    resumed_within_an_epoch(tmp_path, module, Kind)
    said = capsys.readouterr().out
    assert line in said if line else said == ""


def test_training_goes_on_from_a_users_checkpoint_with_other_batches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a line says that this is not exact."""
    trainer = resumed_within_an_epoch(tmp_path, Plain, Going)
    said = capsys.readouterr().out
    assert "gave other batches than before: the training goes on from" in said
    assert trainer.global_step == 2 * STEPS


@pytest.mark.slow
@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_users_checkpoints_of_a_moved_training_are_found(kind: str, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", kind)
    kill(tmp_path / "killed", kind, STEPS + 5)
    (tmp_path / "killed").rename(tmp_path / "moved")
    assert train(tmp_path / "moved", kind) == whole


def test_test_of_the_last_checkpoint_removes_nothing(tmp_path: Path) -> None:
    kept = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=3, save_top_k=-1)
    resume = ExactResume(tmp_path / "last.ckpt")
    trainer = Trainer(max_epochs=1, callbacks=[kept, resume], **QUIET)
    trainer.fit(Plain(), datamodule=Kind())
    trainer.save_checkpoint(tmp_path / "kept" / "mine.ckpt")  # after the last exact one
    trainer.validate(Plain(), datamodule=Kind(), ckpt_path=resume.path, weights_only=True)
    assert (tmp_path / "kept" / "mine.ckpt").is_file()

"""Folders of pictures, from the command that trains on them to the resume that notices a change."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from convblocks import ImageClassifier, MNISTDataModule
from convblocks.errors import DataError, UsageError
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from tests.conftest import DEBUG
from tests.core.any_trainer.plain import trainer
from tests.core.run.test_fit import QUICK, assert_same_weights, metric_rows, quick_run
from tests.core.run.test_resume import fit_until
from tests.data.pictures import write_pictures

# Of 160 training pictures an epoch has 20 steps.
SHORT = ["--data.root", "pictures", "--batch_size", "8", "--threads", "1"]


@pytest.fixture
def pictures(workspace: Path) -> None:
    write_pictures(Path("pictures"), size=(16, 20), train=160, test=20)


def test_resume_of_a_run_in_memory_with_copied_pictures_beyond_it_ends_the_same(
    pictures: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        *SHORT,
        "--arch",
        "batchnorm",
        "--data.flip",
        "true",
        "--data.shift",
        "2",
        "--data.val_size",
        "40",
    ]
    within, beyond = quick_run(*flags, name="within"), RunDirectory("beyond")
    fit_until(22, [*DEBUG, *QUICK, *flags, "--name", "beyond"])
    assert "as they are needed" not in capsys.readouterr().out
    for path in Path("pictures").rglob("*.png"):
        path.write_bytes(path.read_bytes())
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    fit.main(["--name", "beyond", "--resume"])
    assert (
        capsys.readouterr().out.count(
            "GB are free: they are decoded as they are needed, which is slower.\n"
        )
        == 1
    )
    assert_same_weights(within, beyond)
    assert metric_rows(within) == metric_rows(beyond)
    assert within.mistakes.read_bytes() == beyond.mistakes.read_bytes()


def test_resume_is_refused_with_other_pictures(pictures: None) -> None:
    fit_until(
        12, [*DEBUG, *QUICK, *SHORT, "--arch", "mlp", "--data.val_size", "40", "--name", "run"]
    )
    # Not the checkpoint is to blame, whose network has fewer classes.
    for split in ("train", "test"):
        shutil.copytree(Path("pictures", split, "disc"), Path("pictures", split, "circle"))
    with pytest.raises(
        DataError, match="was begun with another training set, test set and list of classes than"
    ):
        fit.main(["--name", "run", "--resume"])


def test_trainer_of_lightnings_takes_pictures_for_a_classifier_of_their_kind(
    pictures: None, workspace: Path
) -> None:
    data = MNISTDataModule("pictures", batch_size=8)
    lightning = trainer(workspace, max_epochs=1)
    refusal = r"is for 1 x 28 x 28 .*, but the data are 3 x 16 x 20 .*: give it image_spec="
    with pytest.raises(UsageError, match=refusal):
        lightning.fit(ImageClassifier("batchnorm"), datamodule=data)
    lightning.fit(ImageClassifier("batchnorm", image_spec=data.image_spec), datamodule=data)
    assert lightning.global_step == 20
    (checkpoint,) = workspace.rglob("*.ckpt")
    assert (
        ImageClassifier.load_from_checkpoint(checkpoint, weights_only=True).image_spec
        == data.image_spec
    )

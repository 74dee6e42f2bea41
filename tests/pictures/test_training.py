"""Folders of pictures, from the command that trains on them to the resume that notices a change."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

from convblocks import ImageClassifier, MNISTDataModule
from convblocks.data.images import ImageSpec
from convblocks.errors import DataError, UsageError
from convblocks.evaluate import command as evaluate
from convblocks.pictures import source as folder
from convblocks.run import fit
from convblocks.run.directory import RunDirectory
from tests.conftest import DEBUG
from tests.core.any_trainer.plain import trainer
from tests.core.run.test_fit import QUICK, assert_same_weights, metric_rows, quick_run
from tests.core.run.test_resume import fit_until
from tests.data.pictures import SHAPES, write_pictures

# Of 160 training pictures an epoch has 20 steps.
SHORT = ["--data.root", "pictures", "--batch_size", "8", "--threads", "1"]


@pytest.fixture
def pictures(workspace: Path) -> None:
    write_pictures(Path("pictures"), size=(16, 20), train=160, test=20)


@pytest.mark.parametrize(
    ("arch", "classes", "colour", "size", "chance_threshold"),
    [
        ("mlp", ("disc", "square"), False, (12, 20), 0.52),
        ("maxpool", ("disc", "square"), True, (24, 16), 0.52),
        ("batchnorm", tuple(SHAPES), True, (24, 16), 0.12),
    ],
)
def test_a_run_knows_its_pictures(
    workspace: Path, arch: str, classes: tuple[str, ...], colour: bool, size: tuple[int, int], chance_threshold: float
) -> None:
    write_pictures(Path("pictures"), classes=classes, colour=colour, size=size, train=48, test=24)
    run = quick_run(*SHORT, "--arch", arch)
    result = run.read_result()
    images = result.facts["images"]
    spec = ImageSpec.from_dict(images["spec"])
    assert (images["train"], images["test"]) == (48, 24)
    assert spec.shape == (3 if colour else 1, *size)
    assert spec.classes == tuple(sorted(classes))
    assert result.facts["chance"] == pytest.approx(chance_threshold)
    kept = torch.load(run.last_checkpoint, weights_only=True)["hyper_parameters"]["image_spec"]
    assert kept == images["spec"]


def test_a_stopped_run_goes_on_to_the_same_end_with_copied_pictures(
    pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*SHORT, "--arch", "batchnorm", "--data.flip", "true", "--data.shift", "2"]
    whole, stopped = quick_run(*flags, name="whole"), RunDirectory("stopped")
    fit_until(27, [*DEBUG, *QUICK, *flags, "--name", "stopped"])
    for path in Path("pictures").rglob("*.png"):
        path.write_bytes(path.read_bytes())
    fit.main(["--name", "stopped", "--resume"])
    assert_same_weights(whole, stopped)
    assert metric_rows(whole) == metric_rows(stopped)


def test_a_run_beyond_memory_that_is_stopped_goes_on_to_the_end_of_one_in_memory(
    pictures: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*SHORT, "--arch", "batchnorm", "--data.flip", "true", "--data.shift", "2", "--data.val_size", "40"]
    within, beyond = quick_run(*flags, name="within"), RunDirectory("beyond")
    assert "as they are needed" not in capsys.readouterr().out
    monkeypatch.setattr(folder, "memory_for_images", lambda: 1000)
    fit_until(22, [*DEBUG, *QUICK, *flags, "--name", "beyond"])
    assert capsys.readouterr().out.count("GB are free: they are decoded as they are needed, which is slower.\n") == 1
    fit.main(["--name", "beyond", "--resume"])
    assert_same_weights(within, beyond)
    assert metric_rows(within) == metric_rows(beyond)
    assert within.mistakes.read_bytes() == beyond.mistakes.read_bytes()


def test_pictures_beyond_memory_are_evaluated_as_those_in_memory(
    pictures: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = quick_run(*SHORT)
    capsys.readouterr()
    command = [str(run.last_checkpoint), "--data.root", "pictures"]
    evaluate.main(command)
    within, report = capsys.readouterr().out, run.report.read_text()
    monkeypatch.setattr(folder, "memory_for_images", lambda: 1000)
    evaluate.main(command)
    assert capsys.readouterr().out == within
    assert run.report.read_text() == report


class Damage(Callback):
    """Cuts a picture off once training has begun."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        os.truncate("pictures/train/disc/8.png", 300)


def test_a_picture_that_is_damaged_while_a_run_trains_ends_it_with_one_line(
    pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "memory_for_images", lambda: 1000)
    with pytest.raises(DataError, match=r"^cannot use the picture pictures/train/disc/8\.png: it cannot be read \(.*$"):
        fit.main([*DEBUG, *QUICK, *SHORT, "--arch", "mlp", "--name", "run"], [Damage()])


def of_discs(change: Callable[[Path, Path], object]) -> None:
    """Change the folders of discs to those of another class."""
    for split in ("train", "test"):
        change(Path("pictures", split, "disc"), Path("pictures", split, "circle"))


def replace_picture(split: str) -> None:
    Image.new("RGB", (20, 16), "red").save(Path("pictures", split, "disc", "0.png"))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda: replace_picture("train"), "training set"),
        (lambda: replace_picture("test"), "test set"),
        (lambda: shutil.rmtree("pictures/test"), "test set"),
        (lambda: of_discs(Path.rename), "list of classes"),
        # The network would have another weight for it: the checkpoint is not to blame.
        (lambda: of_discs(shutil.copytree), "training set, test set and list of classes"),
    ],
    ids=["training picture", "test picture", "no test pictures", "name of a class", "further class"],
)
def test_with_other_pictures_a_run_does_not_go_on(
    pictures: None, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None], what: str
) -> None:
    fit_until(12, [*DEBUG, *QUICK, *SHORT, "--arch", "mlp", "--data.val_size", "40", "--name", "run"])
    change()
    with pytest.raises(DataError, match=f"was begun with another {what} than pictures holds"):
        fit.main(["--name", "run", "--resume"])


def test_a_trainer_of_lightnings_takes_pictures_for_a_classifier_of_their_kind(pictures: None, workspace: Path) -> None:
    data = MNISTDataModule("pictures", batch_size=8)
    lightning = trainer(workspace, max_epochs=1)
    with pytest.raises(
        UsageError, match=r"is for 1 x 28 x 28 .*, but the data are 3 x 16 x 20 .*: give it image_spec="
    ):
        lightning.fit(ImageClassifier("batchnorm"), datamodule=data)
    lightning.fit(ImageClassifier("batchnorm", image_spec=data.image_spec), datamodule=data)
    assert lightning.global_step == 20
    (checkpoint,) = workspace.rglob("*.ckpt")
    assert ImageClassifier.load_from_checkpoint(checkpoint, weights_only=True).image_spec == data.image_spec

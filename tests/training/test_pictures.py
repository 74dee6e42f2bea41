"""Folders of pictures, from the command that trains on them to the report that compares the runs."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from convblocks import DigitClassifier, MNISTDataModule
from convblocks.comparison import compare
from convblocks.data.images import ImageSets, LabelledImages
from convblocks.data.pictures import to_picture
from convblocks.errors import DataError, UsageError
from convblocks.model.networks import ARCHITECTURES
from convblocks.runs.directory import LOGS, RunDirectory
from convblocks.runs.result import RunResult
from convblocks.training import fit
from tests.any_trainer.plain import trainer
from tests.conftest import write_digits
from tests.data.pictures import SHAPES, write_pictures
from tests.scripts import run_script
from tests.training.test_distributed import assert_close, weights
from tests.training.test_fit import assert_same_weights, metric_rows
from tests.training.test_resume import fit_until

PICTURES = ["--data.root", "pictures"]

# Of 160 training pictures an epoch has 20 steps.
SHORT = [*PICTURES, "--batch_size", "8", "--epochs", "2", "--threads", "1"]


def result_of(name: str) -> RunResult:
    return RunDirectory(name).read_result()


def write_as_pictures(folder: Path, **splits: LabelledImages) -> None:
    """Write digits as ``<split>/<label>/<index>.png``."""
    for split, digits in splits.items():
        for label in range(10):
            (folder / split / str(label)).mkdir(parents=True)
        for index, (image, label) in enumerate(zip(digits.images.numpy(), digits.labels.tolist(), strict=True)):
            to_picture(image).save(folder / split / str(label) / f"{index}.png", compress_level=1)


def test_digits_written_as_pictures_come_in_the_same_batches(workspace: Path, digits: ImageSets) -> None:
    write_digits(Path("files"), digits, train=600)
    write_as_pictures(Path("pictures"), train=digits.train[torch.arange(600)], test=digits.test[torch.arange(100)])
    sets = {}
    for root in ("files", "pictures"):
        sets[root] = data = MNISTDataModule(root)
        data.prepare_data()
        data.setup()
    for split in ("train", "val", "test"):
        files, pictures = (getattr(data, split) for data in sets.values())
        assert torch.equal(files.images, pictures.images)
        assert torch.equal(files.labels, pictures.labels)
    files, pictures = (torch.cat([targets for _, targets in data.train_dataloader()]) for data in sets.values())
    assert torch.equal(files, pictures)


@pytest.mark.slow
def test_all_of_mnist_written_as_pictures_gives_the_same_weights(workspace: Path, digits: ImageSets) -> None:
    write_as_pictures(Path("pictures"), train=digits.train, test=digits.test)
    flags = ["--arch", "batchnorm", "--epochs", "2", "--threads", "1", "--trainer.limit_train_batches", "100"]
    fit.main([*flags, "--name", "files"])
    fit.main([*flags, "--name", "pictures", *PICTURES])
    assert result_of("files").images == result_of("pictures").images
    assert_same_weights(RunDirectory("files"), RunDirectory("pictures"))
    assert metric_rows(RunDirectory("files")) == metric_rows(RunDirectory("pictures"))


@pytest.mark.slow
def test_ten_thousand_pictures_are_decoded_by_the_first_run_alone(workspace: Path) -> None:
    write_pictures(Path("pictures"), train=9000, test=1000)
    flags = [*PICTURES, "--arch", "mlp", "--epochs", "1"]
    first, second = (run_script("fit", *flags, "--name", name, cwd=workspace) for name in ("first", "second"))
    assert (first.returncode, second.returncode) == (0, 0)
    assert "Decoding 10,000 pictures" in first.stderr
    assert second.stderr == ""
    assert result_of("first").final == result_of("second").final


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_each_network_learns_shapes_in_colour(workspace: Path, arch: str) -> None:
    write_pictures(Path("pictures"), classes=("bar", "post", "ring"), train=600, test=150)
    fit.main([*PICTURES, "--arch", arch, "--batch_size", "20", "--epochs", "5", "--lr", "3e-3", "--name", "run"])
    assert result_of("run").accuracy > 0.8


@pytest.mark.parametrize("arch", ["batchnorm", *(pytest.param(a, marks=pytest.mark.slow) for a in ("mlp", "maxpool"))])
@pytest.mark.parametrize(
    ("classes", "colour", "size", "chance_threshold"),
    [(("disc", "square"), False, (12, 20), 0.52), (tuple(SHAPES), True, (24, 16), 0.12)],
    ids=["2 classes in grey", "12 classes in colour"],
)
def test_a_run_knows_its_pictures(
    workspace: Path, arch: str, classes: Sequence[str], colour: bool, size: tuple[int, int], chance_threshold: float
) -> None:
    write_pictures(Path("pictures"), classes=classes, colour=colour, size=size, train=48, test=24)
    fit.main([*SHORT, "--arch", arch, "--name", "run"])
    result = result_of("run")
    images = result.images
    assert (images.train, images.test) == (48, 24)
    assert images.spec.shape == (3 if colour else 1, *size)
    assert images.spec.classes == tuple(sorted(classes))
    assert result.chance_threshold == pytest.approx(chance_threshold)
    kept = torch.load(RunDirectory("run").last_checkpoint, weights_only=True)["hyper_parameters"]["image_spec"]
    assert kept == images.spec.as_dict()


@pytest.fixture
def stopped(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options of a run that was stopped in the middle of its second epoch."""
    write_pictures(Path("pictures"), train=160, test=20)
    flags = [*SHORT, "--arch", "batchnorm", "--data.flip", "true", "--data.shift", "2"]
    fit_until(27, [*flags, "--name", "stopped"], monkeypatch)
    return flags


def test_a_stopped_run_goes_on_to_the_same_end(stopped: list[str]) -> None:
    fit.main([*stopped, "--name", "whole"])
    fit.main(["--name", "stopped", "--resume"])
    assert_same_weights(RunDirectory("whole"), RunDirectory("stopped"))
    assert metric_rows(RunDirectory("whole")) == metric_rows(RunDirectory("stopped"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_with_another_picture_it_does_not_go_on(stopped: list[str], split: str) -> None:
    Image.new("RGB", (16, 16), "red").save(Path("pictures", split, "disc", "0.png"))
    with pytest.raises(DataError, match=f"was begun with another {split}(ing)? set than pictures holds"):
        fit.main(["--name", "stopped", "--resume"])


def test_with_a_class_of_another_name_it_does_not_go_on(stopped: list[str]) -> None:
    for split in ("train", "test"):
        Path("pictures", split, "disc").rename(Path("pictures", split, "circle"))
    with pytest.raises(DataError, match="was begun with another list of classes than pictures holds"):
        fit.main(["--name", "stopped", "--resume"])


def test_with_another_class_it_does_not_go_on(stopped: list[str]) -> None:
    """The network would have another weight for it: the checkpoint is not to blame."""
    for split in ("train", "test"):
        shutil.copytree(Path("pictures", split, "disc"), Path("pictures", split, "circle"))
    with pytest.raises(DataError, match="was begun with another training set and test set than pictures holds"):
        fit.main(["--name", "stopped", "--resume"])


def test_without_its_test_images_it_does_not_go_on(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(Path("pictures"), train=160, test=20)
    fit_until(12, [*SHORT, "--arch", "mlp", "--data.val_size", "40", "--name", "stopped"], monkeypatch)
    shutil.rmtree("pictures/test")
    with pytest.raises(DataError, match="was begun with another test set than pictures holds"):
        fit.main(["--name", "stopped", "--resume"])


def test_pictures_that_were_only_copied_are_the_same(stopped: list[str]) -> None:
    for path in Path("pictures").rglob("*.png"):
        path.write_bytes(path.read_bytes())
    fit.main(["--name", "stopped", "--resume"])
    assert RunDirectory("stopped").result_after(2)


@pytest.mark.slow
def test_two_processes_give_the_same_numbers_as_one(workspace: Path) -> None:
    write_pictures(Path("pictures"), size=(16, 20), train=160, test=20)
    flags = [*SHORT, "--arch", "batchnorm", "--data.flip", "true", "--trainer.precision", "64-true"]
    two = ["--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]
    for name, processes in {"one": [], "two": two}.items():
        finished = run_script("fit", *flags, *processes, "--name", name, cwd=workspace)
        assert finished.returncode == 0, finished.stderr
    assert_close(weights(LOGS / "one"), weights(LOGS / "two"), tolerance=1e-9)
    assert result_of("two").final == pytest.approx(result_of("one").final, rel=1e-9)


@pytest.mark.slow
def test_a_comparison_names_the_data(workspace: Path) -> None:
    write_pictures(Path("pictures"), classes=("bar", "post", "ring"), size=(16, 20), train=160, test=20)
    options = ["--arch", "mlp", "batchnorm", "--seeds", "2", "--name", "shapes", "--data.size", "8", "12"]
    compare.main([*PICTURES, "--batch_size", "8", "--epochs", "2", *options])
    report = (LOGS / "shapes" / "comparison.md").read_text()
    assert "Images of 3 x 8 x 12 pixels, 3 classes (bar, post, ring); 20 test images." in report
    assert "notebook's mlp" not in report


def test_a_trainer_of_lightnings_takes_pictures(workspace: Path) -> None:
    write_pictures(Path("pictures"), train=160, test=20)
    data = MNISTDataModule("pictures", batch_size=8)
    classifier = DigitClassifier("batchnorm", image_spec=data.image_spec)
    lightning = trainer(workspace, max_epochs=1)
    lightning.fit(classifier, datamodule=data)
    assert lightning.global_step == 20
    (checkpoint,) = workspace.rglob("*.ckpt")
    found = DigitClassifier.load_from_checkpoint(checkpoint, weights_only=True)
    assert found.image_spec == data.image_spec


def test_a_classifier_of_other_images_is_refused(workspace: Path) -> None:
    write_pictures(Path("pictures"), train=160, test=20)
    message = r"the classifier is for 1 x 28 x 28 .*, but the data are 3 x 16 x 16 .*: give it image_spec="
    with pytest.raises(UsageError, match=message):
        trainer(workspace).fit(DigitClassifier("batchnorm"), datamodule=MNISTDataModule("pictures", batch_size=8))

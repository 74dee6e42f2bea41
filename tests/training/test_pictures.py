"""Folders of pictures, from the command that trains on them to the resume that notices a change."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from convblocks import DigitClassifier, MNISTDataModule
from convblocks.data.images import ImageSets
from convblocks.data.pictures import to_picture
from convblocks.errors import DataError, UsageError
from convblocks.runs.directory import LOGS, RunDirectory
from convblocks.training import fit
from tests.any_trainer.plain import trainer
from tests.conftest import DEBUG
from tests.data.pictures import SHAPES, write_pictures
from tests.scripts import run_script
from tests.training.test_distributed import assert_close, weights
from tests.training.test_fit import QUICK, assert_same_weights, metric_rows, quick_run
from tests.training.test_resume import fit_until

# Of 160 training pictures an epoch has 20 steps.
SHORT = ["--data.root", "pictures", "--batch_size", "8", "--threads", "1"]


@pytest.fixture
def pictures(workspace: Path) -> None:
    write_pictures(Path("pictures"), size=(16, 20), train=160, test=20)


@pytest.mark.slow
@pytest.mark.nightly
def test_all_of_mnist_written_as_pictures_gives_the_same_weights(workspace: Path, digits: ImageSets) -> None:
    for split in ("train", "test"):
        for index, (image, label) in enumerate(zip(*vars(getattr(digits, split)).values(), strict=True)):
            path = Path("pictures", split, str(int(label)), f"{index}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            to_picture(image.numpy()).save(path, compress_level=1)
    files, pictures = quick_run(name="files"), quick_run("--data.root", "pictures", name="pictures")
    assert files.read_result().images == pictures.read_result().images
    assert_same_weights(files, pictures)
    assert metric_rows(files) == metric_rows(pictures)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["maxpool", pytest.param("batchnorm", marks=pytest.mark.nightly)])
def test_each_network_learns_shapes_in_colour(workspace: Path, arch: str) -> None:
    write_pictures(Path("pictures"), classes=("bar", "post", "ring"), train=600, test=150)
    flags = ["--data.root", "pictures", *QUICK, "--batch_size", "20", "--epochs", "5", "--lr", "3e-3"]
    fit.main([*flags, "--arch", arch, "--name", "run"])
    assert RunDirectory("run").read_result().accuracy > 0.8


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
    assert (result.images.train, result.images.test) == (48, 24)
    assert result.images.spec.shape == (3 if colour else 1, *size)
    assert result.images.spec.classes == tuple(sorted(classes))
    assert result.chance_threshold == pytest.approx(chance_threshold)
    kept = torch.load(run.last_checkpoint, weights_only=True)["hyper_parameters"]["image_spec"]
    assert kept == result.images.spec.as_dict()


def test_a_stopped_run_goes_on_to_the_same_end_with_copied_pictures(
    pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*SHORT, "--arch", "batchnorm", "--data.flip", "true", "--data.shift", "2"]
    whole, stopped = quick_run(*flags, name="whole"), RunDirectory("stopped")
    fit_until(27, [*DEBUG, *QUICK, *flags, "--name", "stopped"], monkeypatch)
    for path in Path("pictures").rglob("*.png"):
        path.write_bytes(path.read_bytes())
    fit.main(["--name", "stopped", "--resume"])
    assert_same_weights(whole, stopped)
    assert metric_rows(whole) == metric_rows(stopped)


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
        (lambda: of_discs(shutil.copytree), "training set and test set"),
    ],
    ids=["training picture", "test picture", "no test pictures", "name of a class", "further class"],
)
def test_with_other_pictures_a_run_does_not_go_on(
    pictures: None, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None], what: str
) -> None:
    fit_until(12, [*DEBUG, *QUICK, *SHORT, "--arch", "mlp", "--data.val_size", "40", "--name", "run"], monkeypatch)
    change()
    with pytest.raises(DataError, match=f"was begun with another {what} than pictures holds"):
        fit.main(["--name", "run", "--resume"])


@pytest.mark.slow
def test_two_processes_give_the_same_numbers_as_one(pictures: None, workspace: Path) -> None:
    flags = [*DEBUG, *QUICK, *SHORT, "--arch", "batchnorm", "--data.flip", "true", "--trainer.precision", "64-true"]
    two = ["--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]
    for name, processes in {"one": [], "two": two}.items():
        finished = run_script("fit", *flags, *processes, "--name", name, cwd=workspace)
        assert finished.returncode == 0, finished.stderr
    assert_close(weights(LOGS / "one"), weights(LOGS / "two"), tolerance=1e-9)
    one, several = (RunDirectory(name).read_result().final for name in ("one", "two"))
    assert several == pytest.approx(one, rel=1e-9)


def test_a_trainer_of_lightnings_takes_pictures_for_a_classifier_of_their_kind(pictures: None, workspace: Path) -> None:
    data = MNISTDataModule("pictures", batch_size=8)
    lightning = trainer(workspace, max_epochs=1)
    with pytest.raises(
        UsageError, match=r"is for 1 x 28 x 28 .*, but the data are 3 x 16 x 20 .*: give it image_spec="
    ):
        lightning.fit(DigitClassifier("batchnorm"), datamodule=data)
    lightning.fit(DigitClassifier("batchnorm", image_spec=data.image_spec), datamodule=data)
    assert lightning.global_step == 20
    (checkpoint,) = workspace.rglob("*.ckpt")
    assert DigitClassifier.load_from_checkpoint(checkpoint, weights_only=True).image_spec == data.image_spec

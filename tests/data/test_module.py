"""Images in memory become normalised batches."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from convblocks.data.images import MNIST, ImageSets, ImageSource, LabelledImages
from convblocks.data.module import MNISTDataModule
from convblocks.errors import DataError, UsageError
from tests.data.pictures import write_pictures

SLOW_SOURCE = """
import time
from pathlib import Path
from convblocks import ImageSource

class Slow(ImageSource):
    def prepare(self):
        for note in ("begins", "ends"):
            with Path("notes").open("a") as file:
                print(note, file=file)
            time.sleep(0.5)

    def load(self):
        raise NotImplementedError
"""

PREPARE = """
from convblocks import MNISTDataModule
from mydata import Slow
MNISTDataModule(".", source=Slow).prepare_data()
"""


@pytest.fixture
def module() -> MNISTDataModule:
    module = MNISTDataModule()
    module.prepare_data()
    module.setup()
    return module


def test_an_epoch_is_938_batches_the_last_of_them_short(module: MNISTDataModule) -> None:
    lengths = [len(targets) for _, targets in module.train_dataloader()]
    assert lengths == [64] * 937 + [32]
    assert len(module.train_dataloader()) == 938


@pytest.mark.parametrize("split", ["train", "val", "test", "predict"])
def test_a_batch_is_normalised_images_and_their_targets(module: MNISTDataModule, split: str) -> None:
    loader = getattr(module, f"{split}_dataloader")()
    images, targets = next(iter(loader))
    size = 64 if split == "train" else 1000
    assert (images.shape, images.dtype) == ((size, 1, 28, 28), torch.float32)
    assert (targets.shape, targets.dtype) == ((size,), torch.int64)
    assert images.min() == pytest.approx(-0.1307 / 0.3081)


def test_evaluation_sees_every_test_image_once(module: MNISTDataModule, digits: ImageSets) -> None:
    assert torch.equal(
        torch.cat([images for images, _ in module.test_dataloader()]), MNIST.normalize(digits.test.images)
    )


def test_a_stage_is_not_needed_and_a_second_setup_changes_nothing() -> None:
    module = MNISTDataModule(val_size=10)
    module.setup()
    train = module.train
    module.setup("fit")
    assert module.train is train


def test_by_default_training_uses_all_images_and_evaluation_the_test_set(module: MNISTDataModule) -> None:
    assert len(module.train.labels) == 60_000
    assert module.evaluation_split == "test"
    assert module.val is module.test


def test_the_validation_split_does_not_depend_on_the_seed() -> None:
    splits = []
    for seed in (0, 1):
        module = MNISTDataModule(val_size=5000, seed=seed)
        module.setup("fit")
        assert (len(module.train.labels), len(module.val.labels)) == (55_000, 5_000)
        assert module.evaluation_split == "val"
        splits.append(module.val.images)
    assert torch.equal(*splits)


def test_held_out_images_are_not_trained_on(digits: ImageSets) -> None:
    module = MNISTDataModule(val_size=5000)
    module.setup("fit")
    together = torch.cat([module.train.images, module.val.images]).sum(dim=(1, 2, 3)).sort().values
    assert torch.equal(together, digits.train.images.sum(dim=(1, 2, 3)).sort().values)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch_size": 0}, "at least 1"),
        ({"eval_batch_size": 0}, "at least 1"),
        ({"batch_size": 60_001}, "above the 60,000 training images"),
        ({"val_size": -1}, "must not be negative"),
        ({"val_size": 60_000}, "leaves none"),
        ({"shift": -1.0}, "--data.shift must be 0 pixels or more"),
        ({"shift": 28.5}, "--data.shift must be 0 to 28 pixels"),
        ({"size": (0, 8)}, "--data.size must be at least 1 x 1, but is 0 x 8"),
        ({"scale": 1.0}, "below 1"),
    ],
)
def test_sizes_out_of_range_are_refused(setting: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MNISTDataModule(**setting).setup("fit")  # type: ignore[arg-type]  # the keys are its arguments


def test_a_folder_of_pictures_is_trained_and_evaluated_on(tmp_path: Path) -> None:
    write_pictures(tmp_path, size=(12, 20))
    module = MNISTDataModule(str(tmp_path), batch_size=16)
    image_spec = module.image_spec
    assert (image_spec.shape, image_spec.classes) == ((3, 12, 20), ("disc", "square"))
    images, targets = next(iter(module.train_dataloader()))
    assert (images.shape, images.dtype) == ((16, 3, 12, 20), torch.float32)
    assert set(targets.tolist()) == {0, 1}
    everything = torch.cat([images for images, _ in module.train_dataloader()])
    assert everything.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    assert (everything.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-3
    assert sum(len(targets) for _, targets in module.test_dataloader()) == 20


def test_pictures_are_scaled_to_the_size(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    assert MNISTDataModule(str(tmp_path), batch_size=8, size=(10, 14)).image_spec.shape == (3, 10, 14)


def test_mnist_is_described_without_being_read(tmp_path: Path) -> None:
    assert MNISTDataModule(str(tmp_path)).image_spec == MNIST


def test_without_test_images_a_run_is_tested_on_those_held_out(tmp_path: Path) -> None:
    write_pictures(tmp_path, test=0)
    module = MNISTDataModule(str(tmp_path), batch_size=8, val_size=10)
    module.prepare_data()
    module.setup()
    assert (len(module.train.labels), len(module.val.labels)) == (30, 10)
    assert module.test is module.val


@pytest.mark.slow
def test_a_source_prepares_in_one_process_at_a_time(tmp_path: Path) -> None:
    """Two processes each record when they begin and end, with a pause in between."""
    (tmp_path / "mydata.py").write_text(SLOW_SOURCE)
    both = [subprocess.Popen([sys.executable, "-c", PREPARE], cwd=tmp_path) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert (tmp_path / "notes").read_text().split() == ["begins", "ends"] * 2


def test_without_test_images_some_must_be_held_out(tmp_path: Path) -> None:
    write_pictures(tmp_path, test=0)
    with pytest.raises(DataError, match=r"has no test images: add some .* --data\.val_size"):
        MNISTDataModule(str(tmp_path), batch_size=8).setup()


def test_held_out_images_that_do_not_fit_into_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path)
    module = MNISTDataModule(str(tmp_path), batch_size=8, val_size=10)
    module.prepare_data()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=20_000))
    with pytest.raises(DataError, match="holding out training images takes another"):
        module.setup()


def test_a_shift_may_be_as_long_as_the_longer_side(tmp_path: Path) -> None:
    write_pictures(tmp_path, size=(12, 20))
    MNISTDataModule(str(tmp_path), batch_size=8, shift=20).setup()
    with pytest.raises(UsageError, match=r"--data\.shift must be 0 to 20 pixels"):
        MNISTDataModule(str(tmp_path), batch_size=8, shift=21).setup()


class Halves(ImageSource):
    """Images that are light on the left or on the right, as many as a file in the root says."""

    def load(self) -> ImageSets:
        count = int((self.root / "count").read_text())
        images = torch.zeros(count, 1, 6, 8, dtype=torch.uint8)
        images[::2, ..., :4] = images[1::2, ..., 4:] = 255
        halves = LabelledImages(images, torch.arange(count) % 2)
        return ImageSets.of(halves, halves, ["left", "right"], self.root)


def test_a_source_of_ones_own_is_a_class_with_load(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("12")
    module = MNISTDataModule(str(tmp_path), batch_size=4, source=Halves)
    assert module.image_spec.shape == (1, 6, 8)
    assert module.image_spec.classes == ("left", "right")
    images, targets = next(iter(module.val_dataloader()))
    assert torch.equal(images[:, 0, 0, 0] > 0, targets == 0)


def test_a_source_of_ones_own_scales_its_images_itself() -> None:
    with pytest.raises(UsageError, match=r"--data\.size is for folders of pictures"):
        MNISTDataModule(source=Halves, size=(8, 8))

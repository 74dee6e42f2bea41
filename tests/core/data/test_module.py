"""The data module: images in memory become normalised batches."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from convblocks.data.images import MNIST, ImageSets, ImageSource, LabelledImages
from convblocks.data.module import MNISTDataModule
from convblocks.errors import UsageError
from convblocks.files import machine_lock


class Halves(ImageSource):
    """Images that are light on the left or on the right."""

    def load(self) -> ImageSets:
        images = torch.zeros(12, 1, 6, 8, dtype=torch.uint8)
        images[::2, ..., :4] = images[1::2, ..., 4:] = 255
        halves = LabelledImages(images, torch.arange(12) % 2)
        return ImageSets.of(halves, halves, ["left", "right"])


def test_data_module_trains_on_all_images_and_evaluates_on_the_test_set_by_default(
    digits: ImageSets,
) -> None:
    module = MNISTDataModule()
    assert module.image_spec == MNIST
    loader, train = module.train_dataloader(), module.train
    module.setup("fit")
    assert module.train is train
    assert [len(targets) for _, targets in loader] == [64] * 937 + [32]
    assert len(loader) == 938
    assert module.evaluation_split == "test"
    for loader in (module.val_dataloader(), module.test_dataloader(), module.predict_dataloader()):
        images, targets = (torch.cat(parts) for parts in zip(*loader, strict=True))
        assert torch.equal(images, MNIST.normalize(digits.test.images))
        assert torch.equal(targets, digits.test.labels)
    assert next(iter(loader))[0].shape == (1000, 1, 28, 28)


def test_data_module_holds_out_the_same_images_for_every_seed_and_does_not_train_on_them(
    digits: ImageSets,
) -> None:
    module, other_seed = (MNISTDataModule(val_size=5000, seed=seed) for seed in (0, 1))
    module.setup()
    other_seed.setup()
    assert module.evaluation_split == "val"
    assert torch.equal(module.val.images, other_seed.val.images)
    assert (
        len(module.val.labels)
        == sum(len(targets) for _, targets in module.val_dataloader())
        == 5000
    )
    together = torch.cat([module.train.images, module.val.images]).sum(dim=(1, 2, 3)).sort().values
    assert torch.equal(together, digits.train.images.sum(dim=(1, 2, 3)).sort().values)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "at least 1"),
        ({"eval_batch_size": 0}, "at least 1"),
        ({"batch_size": 60_001}, "above the 60,000 training images"),
        ({"val_size": -1}, "must not be negative"),
        ({"val_size": 60_000}, "above the 0 training images that --data.val_size 60000 leaves"),
        ({"shift": -1.0}, "--data.shift must be 0 pixels or more"),
        ({"scale": 1.0}, "below 1"),
        ({"size": (8, 8), "source": Halves}, "--data.size is for folders of pictures, not for"),
    ],
    ids=str,
)
def test_data_module_refuses_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MNISTDataModule(**settings).setup("fit")


def test_data_module_takes_a_source_with_a_load_method(tmp_path: Path) -> None:
    module = MNISTDataModule(str(tmp_path), batch_size=4, source=Halves)
    assert (module.image_spec.shape, module.image_spec.classes) == ((1, 6, 8), ("left", "right"))
    images, targets = next(iter(module.val_dataloader()))
    assert torch.equal(images[:, 0, 0, 0] > 0, targets == 0)
    assert module.notes == [
        "Halves: 12 training and 12 test images, 1 x 6 x 8 pixels, 2 classes (left, right)"
    ]


def test_data_module_prepares_its_source_in_one_process_at_a_time(tmp_path: Path) -> None:
    module = MNISTDataModule(str(tmp_path), 4, source=Halves)
    with ThreadPoolExecutor() as threads:
        with machine_lock(tmp_path.resolve()):
            setup = threads.submit(module.setup)
            with pytest.raises(TimeoutError):
                setup.result(timeout=0.3)
        setup.result()


@pytest.mark.parametrize("is_mnist", [True, False])
def test_data_module_moves_black_into_mnists_images_only(
    is_mnist: bool, digits: ImageSets, tmp_path: Path
) -> None:
    """Other images repeat their edges."""
    spec = MNIST if is_mnist else replace(MNIST, mean=(0.5,))

    class Digits(ImageSource):
        def load(self) -> ImageSets:
            return replace(digits, image_spec=spec)

    data = MNISTDataModule(str(tmp_path), batch_size=10, shift=2.0, source=Digits)
    data.setup()
    assert data.augmentation.black_outside == is_mnist

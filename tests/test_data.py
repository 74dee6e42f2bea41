"""Images in memory become normalised batches."""

import pytest
import torch
from convblocks.mnist import DigitFiles

from convblocks.data import MNISTDataModule, normalize
from convblocks.errors import UsageError


@pytest.fixture
def module() -> MNISTDataModule:
    module = MNISTDataModule()
    module.prepare_data()
    module.setup("fit")
    return module


def test_the_training_images_have_mean_0_and_standard_deviation_1(digits: DigitFiles) -> None:
    pixels = normalize(digits.train.images)
    assert pixels.shape == (60_000, 1, 28, 28)
    assert pixels.dtype == torch.float32
    assert abs(float(pixels.mean())) < 1e-3
    assert abs(float(pixels.std()) - 1) < 1e-3


def test_an_epoch_is_938_batches_the_last_of_them_short(module: MNISTDataModule) -> None:
    lengths = [len(targets) for _, targets, _ in module.train_dataloader()]
    assert lengths == [64] * 937 + [32]


def test_a_batch_pairs_images_with_their_labels(module: MNISTDataModule, digits: DigitFiles) -> None:
    images, targets, indices = next(iter(module.train_dataloader()))
    assert torch.equal(images, digits.train.images[indices])
    assert torch.equal(targets, digits.train.labels[indices])


def test_evaluation_sees_every_test_image_once(module: MNISTDataModule, digits: DigitFiles) -> None:
    assert torch.equal(torch.cat([images for images, _, _ in module.test_dataloader()]), digits.test.images)


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


def test_held_out_images_are_not_trained_on(digits: DigitFiles) -> None:
    module = MNISTDataModule(val_size=5000)
    module.setup("fit")
    together = torch.cat([module.train.images, module.val.images]).sum(dim=(1, 2)).sort().values
    assert torch.equal(together, digits.train.images.sum(dim=(1, 2)).sort().values)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"batch_size": 0}, "at least 1"),
        ({"eval_batch_size": 0}, "at least 1"),
        ({"batch_size": 60_001}, "above the 60,000 training images"),
        ({"val_size": -1}, "must not be negative"),
        ({"val_size": 60_000}, "leaves none"),
        ({"shift": -1.0}, "--data.shift must be 0 to 28 pixels"),
        ({"scale": 1.0}, "below 1"),
    ],
)
def test_sizes_out_of_range_are_refused(setting: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MNISTDataModule(**setting).setup("fit")  # type: ignore[arg-type]  # the keys are its arguments

"""Images in memory: mean, standard deviation, fingerprint, and checks."""

import pytest
import torch

from convblocks.data.images import ImageSets, LabelledImages
from convblocks.errors import DataError


def random_images(count: int, *shape: int) -> LabelledImages:
    """Every second image is of class 1; the channels differ in brightness."""
    generator = torch.Generator().manual_seed(count)
    brightness = torch.linspace(0.3, 1, shape[0]).view(1, -1, 1, 1)
    images = (torch.rand(count, *shape, generator=generator) * 255 * brightness).to(torch.uint8)
    return LabelledImages(images, torch.arange(count) % 2)


def test_of_mnist_mean_and_standard_deviation_are_the_courses(digits: ImageSets) -> None:
    found = ImageSets.of(digits.train, digits.test, tuple("0123456789"))
    assert found.image_spec == digits.image_spec


@pytest.mark.parametrize("shape", [(1, 9, 9), (3, 8, 12)])
def test_mean_and_standard_deviation_are_those_of_each_channel_of_the_training_images(
    shape: tuple[int, int, int],
) -> None:
    train = random_images(50, *shape)
    image_spec = ImageSets.of(train, random_images(20, *shape), ("a", "b")).image_spec
    values = train.images.double() / 255
    assert image_spec.mean == pytest.approx(values.mean(dim=(0, 2, 3)).tolist(), abs=5e-5)
    assert image_spec.std == pytest.approx(values.std(dim=(0, 2, 3), correction=0).tolist(), abs=5e-5)
    assert image_spec.shape == shape


def test_mean_and_standard_deviation_have_four_digits() -> None:
    image_spec = ImageSets.of(random_images(50, 3, 8, 8), None, ("a", "b")).image_spec
    assert all(value == round(value, 4) for value in image_spec.mean + image_spec.std)


def test_a_channel_that_is_the_same_everywhere_can_be_normalised() -> None:
    train = random_images(10, 3, 8, 8)
    train.images[:, 1] = 51
    image_spec = ImageSets.of(train, None, ("a", "b")).image_spec
    assert (image_spec.mean[1], image_spec.std[1]) == (0.2, 1.0)
    assert image_spec.normalize(train.images)[:, 1].abs().max() < 1e-6


def test_without_test_images_there_are_none_of_the_same_shape() -> None:
    sets = ImageSets.of(random_images(10, 3, 8, 8), None, ("a", "b"))
    assert sets.test.images.shape == (0, 3, 8, 8)
    assert len(sets.test.labels) == 0


def test_the_fingerprint_knows_pixels_and_labels_of_each_part() -> None:
    train, test = random_images(10, 1, 8, 8), random_images(6, 1, 8, 8)
    before = ImageSets.of(train, test, ("a", "b")).fingerprint
    assert ImageSets.of(train, test, ("a", "b")).fingerprint == before
    other_label = LabelledImages(test.images, test.labels.flip(0))
    other_pixel = LabelledImages(test.images.clone().fill_(3), test.labels)
    for changed in (other_label, other_pixel):
        after = ImageSets.of(train, changed, ("a", "b")).fingerprint
        assert [name for name in before if before[name] != after[name]] == ["test set"]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (LabelledImages(torch.zeros(4, 8, 8, dtype=torch.uint8), torch.zeros(4).long()), r"set.s images .*\(4, 8, 8\)"),
        (LabelledImages(torch.zeros(4, 1, 8, 8), torch.zeros(4).long()), "training set.s images must be .*uint8"),
        (LabelledImages(torch.zeros(0, 1, 8, 8, dtype=torch.uint8), torch.zeros(0).long()), "training set.s images"),
        (LabelledImages(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4)), "set.s labels .*float32"),
        (LabelledImages(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(3).long()), r"set.s labels .*\(4,\)"),
        (LabelledImages(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 2])), "go from 0 to 2"),
        (LabelledImages(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([-1, 1])), "go from -1 to 1"),
    ],
    ids=["no channels", "floats", "none", "float labels", "fewer labels", "label too high", "label too low"],
)
def test_malformed_images_and_labels_are_refused(train: LabelledImages, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ImageSets.of(train, None, ("a", "b"))


def test_test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"the test set.s images must be .*all of one shape"):
        ImageSets.of(random_images(4, 1, 8, 8), random_images(4, 1, 8, 9), ("a", "b"))

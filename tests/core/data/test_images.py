"""Images in memory, and their spec: normalisation, fingerprint, checks, and the way into a checkpoint and back."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import yaml

from convblocks.data.images import MNIST, ImageSets, ImageSpec, LabelledImages
from convblocks.errors import DataError, UsageError

FLOWERS = ImageSpec(3, 32, 40, ("iris", "rose"), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.125))

Values = dict[str, Any]


def random_images(count: int, *shape: int) -> LabelledImages:
    """Every second image is of class 1; the channels differ in brightness."""
    generator = torch.Generator().manual_seed(count)
    brightness = torch.linspace(0.3, 1, shape[0]).view(1, -1, 1, 1)
    images = (torch.rand(count, *shape, generator=generator) * 255 * brightness).to(torch.uint8)
    return LabelledImages(images, torch.arange(count) % 2)


# The image spec.


def test_mnists_is_the_courses() -> None:
    assert ImageSpec(1, 28, 28, tuple("0123456789"), mean=(0.1307,), std=(0.3081,)) == MNIST


def test_each_channel_is_scaled_and_normalised_by_its_own_numbers() -> None:
    images = torch.randint(256, (5, 3, 32, 40), dtype=torch.uint8)
    before, normalized = images.clone(), FLOWERS.normalize(images)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (FLOWERS.mean, FLOWERS.std))
    torch.testing.assert_close(normalized, (images / 255 - mean) / std)
    assert torch.equal(images, before)


@pytest.mark.parametrize("image_spec", [MNIST, FLOWERS], ids=["mnist", "flowers"])
@pytest.mark.parametrize("written", [dict, json.dumps, yaml.safe_dump])
def test_it_comes_out_of_a_file_as_it_went_in(image_spec: ImageSpec, written: Callable[[Values], Any]) -> None:
    content = written(image_spec.as_dict())
    assert ImageSpec.from_dict(yaml.safe_load(content) if isinstance(content, str) else content) == image_spec


@pytest.mark.parametrize("change", [{"height": "tall"}, {"width": None}, {"classes": 3}, {}], ids=str)
def test_other_values_than_an_image_spec_are_refused(change: Values) -> None:
    values = FLOWERS.as_dict() | change
    if not change:
        del values["channels"]
    with pytest.raises(UsageError, match="is not an image spec"):
        ImageSpec.from_dict(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 0}, "1 or 3 channels"),
        ({"channels": 2}, "1 or 3 channels"),
        ({"height": 0}, "and pixels"),
        ({"width": -1}, "and pixels"),
        ({"classes": ()}, "two or more classes"),
        ({"classes": ("rose",)}, "two or more classes"),
        ({"classes": ("rose", "iris", "rose")}, "with different names"),
    ],
    ids=str,
)
def test_impossible_image_specs_are_refused(change: Values, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(FLOWERS, **change)


def test_a_network_takes_images_of_the_same_shape_and_classes_whatever_their_brightness() -> None:
    assert FLOWERS.same_images(replace(FLOWERS, mean=(0.1, 0.1, 0.1)))
    assert not FLOWERS.same_images(replace(FLOWERS, width=32))
    assert not FLOWERS.same_images(replace(FLOWERS, classes=("rose", "iris")))


def test_it_is_said_in_a_line() -> None:
    assert str(FLOWERS) == "3 x 32 x 40 pixels, 2 classes (iris, rose)"
    many = str(replace(FLOWERS, classes=tuple(f"c{number}" for number in range(40))))
    assert many.startswith("3 x 32 x 40 pixels, 40 classes (c0, c1, c2, ")
    assert many.endswith(", c28, c29, ...)")


# Image sets.


def test_of_mnist_mean_and_standard_deviation_are_the_courses(digits: ImageSets) -> None:
    assert ImageSets.of(digits.train, digits.test, tuple("0123456789")).image_spec == MNIST


@pytest.mark.parametrize("shape", [(1, 9, 9), (3, 8, 12)], ids=str)
def test_mean_and_standard_deviation_are_those_of_each_channel_of_the_training_images(shape: tuple[int, ...]) -> None:
    train = random_images(50, *shape)
    image_spec = ImageSets.of(train, random_images(20, *shape), ("a", "b")).image_spec
    values = train.images.double() / 255
    assert list(image_spec.mean) == [round(value, 4) for value in values.mean(dim=(0, 2, 3)).tolist()]
    assert list(image_spec.std) == [round(value, 4) for value in values.std(dim=(0, 2, 3), correction=0).tolist()]
    assert image_spec.shape == shape


def test_a_channel_that_is_the_same_everywhere_can_be_normalised() -> None:
    train = random_images(10, 3, 8, 8)
    train.images[:, 1] = 51
    sets = ImageSets.of(train, None, ("a", "b"))
    assert (sets.image_spec.mean[1], sets.image_spec.std[1]) == (0.2, 1.0)
    assert sets.image_spec.normalize(train.images)[:, 1].abs().max() < 1e-6
    assert (sets.test.images.shape, len(sets.test.labels)) == ((0, 3, 8, 8), 0)  # of the same shape


def test_the_fingerprint_is_that_of_pixels_and_labels_of_each_part() -> None:
    train, test = random_images(10, 1, 8, 8), random_images(6, 1, 8, 8)
    before = ImageSets.of(train, test, ("a", "b")).fingerprint
    assert ImageSets.of(train, test, ("a", "b")).fingerprint == before
    for changed in (replace(test, labels=test.labels.flip(0)), replace(test, images=test.images ^ 1)):
        after = ImageSets.of(train, changed, ("a", "b")).fingerprint
        assert [name for name in before if before[name] != after[name]] == ["test set"]


BLACK = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (BLACK[:, 0], torch.zeros(4).long(), r"training set's images .*\(4, 8, 8\)"),
        (BLACK.float(), torch.zeros(4).long(), "training set's images must be .*uint8"),
        (BLACK[:0], torch.zeros(0).long(), "training set's images"),
        (BLACK, torch.zeros(4), "training set's labels .*int64"),
        (BLACK, torch.zeros(3).long(), r"training set's labels .*\(4,\)"),
        (BLACK, torch.tensor([0, 1, 1, 2]), r"training set's labels .*each in 0\.\.1"),
        (BLACK, torch.tensor([-1, 1, 1, 0]), r"training set's labels .*each in 0\.\.1"),
    ],
    ids=["no channels", "floats", "none", "float labels", "fewer labels", "label too high", "label too low"],
)
def test_malformed_images_and_labels_are_refused(images: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ImageSets.of(LabelledImages(images, labels), None, ("a", "b"))
    with pytest.raises(DataError, match=message.replace("training", "test")):
        ImageSets.of(LabelledImages(BLACK, torch.zeros(4).long()), LabelledImages(images, labels), ("a", "b"))

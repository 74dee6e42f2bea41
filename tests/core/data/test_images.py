"""Images in memory, and their spec: normalisation, fingerprint, checks, and the way
into a checkpoint and back.
"""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import torch
import yaml

from convblocks.data.images import MNIST, ImageSets, ImageSpec, LabelledImages
from convblocks.errors import DataError, UsageError

FLOWERS = ImageSpec(3, 32, 40, ("iris", "rose"), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.125))


def random_images(count: int, *shape: int) -> LabelledImages:
    """Every second image is of class 1; the channels differ in brightness."""
    generator = torch.Generator().manual_seed(count)
    brightness = torch.linspace(0.3, 1, shape[0]).view(1, -1, 1, 1)
    images = (torch.rand(count, *shape, generator=generator) * 255 * brightness).to(torch.uint8)
    return LabelledImages(images, torch.arange(count) % 2)


def test_image_spec_normalises_each_channel_by_its_own_numbers() -> None:
    images = torch.randint(256, (5, 3, 32, 40), dtype=torch.uint8)
    before, normalized = images.clone(), FLOWERS.normalize(images)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (FLOWERS.mean, FLOWERS.std))
    torch.testing.assert_close(normalized, (images / 255 - mean) / std)
    assert torch.equal(images, before)


def test_image_spec_comes_out_of_a_file_as_it_went_in() -> None:
    for text in (json.dumps(FLOWERS.as_dict()), yaml.safe_dump(FLOWERS.as_dict())):
        assert ImageSpec.from_dict(yaml.safe_load(text)) == FLOWERS
    for values in ({}, FLOWERS.as_dict() | {"height": "tall"}):
        with pytest.raises(msgspec.ValidationError):
            ImageSpec.from_dict(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 2}, "1 or 3 channels"),
        ({"height": 0}, "and pixels"),
        ({"classes": ("rose",)}, "two or more classes"),
        ({"classes": ("rose", "iris", "rose")}, "with different names"),
    ],
    ids=str,
)
def test_image_spec_that_is_impossible_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(FLOWERS, **change)


def test_image_specs_of_the_same_shape_and_classes_suit_one_network_whatever_their_brightness() -> (
    None
):
    assert FLOWERS.same_images(replace(FLOWERS, mean=(0.1, 0.1, 0.1)))
    assert not FLOWERS.same_images(replace(FLOWERS, width=32))
    assert not FLOWERS.same_images(replace(FLOWERS, classes=("rose", "iris")))


def test_image_sets_measure_mean_and_deviation_of_each_channel_of_the_training_images(
    digits: ImageSets,
) -> None:
    assert ImageSets.of(digits.train, digits.test, tuple("0123456789")).image_spec == MNIST
    train = random_images(250, 3, 8, 12)
    image_spec = ImageSets.of(train, random_images(20, 3, 8, 12), ("a", "b")).image_spec
    values = train.images.double() / 255
    assert list(image_spec.mean) == [
        round(value, 4) for value in values.mean(dim=(0, 2, 3)).tolist()
    ]
    assert list(image_spec.std) == [
        round(value, 4) for value in values.std(dim=(0, 2, 3), correction=0).tolist()
    ]
    assert image_spec.shape == (3, 8, 12)


def test_image_sets_can_normalise_a_channel_that_is_the_same_everywhere() -> None:
    train = random_images(10, 3, 8, 8)
    train.images[:, 1] = 51
    sets = ImageSets.of(train, None, ("a", "b"))
    assert (sets.image_spec.mean[1], sets.image_spec.std[1]) == (0.2, 1.0)
    assert sets.image_spec.normalize(train.images)[:, 1].abs().max() < 1e-6
    assert (sets.test.images.shape, len(sets.test.labels)) == ((0, 3, 8, 8), 0)  # of the same shape


def test_image_sets_have_a_fingerprint_of_the_pixels_and_labels_of_each_part() -> None:
    train, test = random_images(10, 1, 8, 8), random_images(6, 1, 8, 8)
    before = ImageSets.of(train, test, ("a", "b")).fingerprint
    assert ImageSets.of(train, test, ("a", "b")).fingerprint == before
    for changed in (
        replace(test, labels=test.labels.flip(0)),
        replace(test, images=test.images ^ 1),
    ):
        after = ImageSets.of(train, changed, ("a", "b")).fingerprint
        assert [name for name in before if before[name] != after[name]] == ["test set"]
    assert (
        ImageSets.of(train, test, ("a", "c")).fingerprint["list of classes"]
        != before["list of classes"]
    )


BLACK = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (BLACK[:, 0], torch.zeros(4).long(), r"training set's images .*\(4, 8, 8\)"),
        (BLACK.float(), torch.zeros(4).long(), "training set's images must be .*uint8"),
        (BLACK[:0], torch.zeros(0).long(), "training set's images"),
        (BLACK, torch.zeros(3).long(), r"training set's labels .*\(4,\)"),
        (BLACK, torch.tensor([0, 1, 1, 2]), r"training set's labels .*each in 0\.\.1"),
        (BLACK, torch.tensor([-1, 1, 1, 0]), r"training set's labels .*each in 0\.\.1"),
    ],
    ids=["no channels", "floats", "none", "fewer labels", "label too high", "label too low"],
)
def test_image_sets_refuse_malformed_images_and_labels(
    images: torch.Tensor, labels: torch.Tensor, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        ImageSets.of(LabelledImages(images, labels), None, ("a", "b"))
    with pytest.raises(DataError, match=message.replace("training", "test")):
        ImageSets.of(
            LabelledImages(BLACK, torch.zeros(4).long()), LabelledImages(images, labels), ("a", "b")
        )

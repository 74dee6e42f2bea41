"""The image spec: normalisation, checks, and the way into a checkpoint and back."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
import yaml

from convblocks.data.images import MNIST, ImageSpec
from convblocks.errors import UsageError

FLOWERS = ImageSpec(3, 32, 40, ("iris", "rose"), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.125))


def test_mnists_is_the_courses() -> None:
    assert MNIST.shape == (1, 28, 28)
    assert MNIST.classes == tuple("0123456789")
    assert (MNIST.mean, MNIST.std) == ((0.1307,), (0.3081,))


def test_each_channel_is_scaled_and_normalised_by_its_own_numbers() -> None:
    images = torch.randint(256, (5, 3, 32, 40), dtype=torch.uint8)
    normalized = FLOWERS.normalize(images)
    assert (normalized.shape, normalized.dtype) == ((5, 3, 32, 40), torch.float32)
    for channel, (mean, std) in enumerate(zip(FLOWERS.mean, FLOWERS.std, strict=True)):
        assert torch.allclose(normalized[:, channel], (images[:, channel] / 255 - mean) / std)


def test_normalising_leaves_the_images_as_they_are() -> None:
    images = torch.full((1, 3, 32, 40), 7, dtype=torch.uint8)
    FLOWERS.normalize(images)
    assert torch.equal(images, torch.full((1, 3, 32, 40), 7, dtype=torch.uint8))


@pytest.mark.parametrize("image_spec", [MNIST, FLOWERS], ids=["mnist", "flowers"])
@pytest.mark.parametrize(
    "passed_through", [dict, lambda d: json.loads(json.dumps(d)), lambda d: yaml.safe_load(yaml.safe_dump(d))]
)
def test_it_comes_out_of_a_file_as_it_went_in(image_spec: ImageSpec, passed_through: Any) -> None:
    assert ImageSpec.from_dict(passed_through(image_spec.as_dict())) == image_spec


@pytest.mark.parametrize(
    "change",
    [
        {"channels": ...},
        {"height": "tall"},
        {"width": None},
        {"classes": 3},
        {"mean": 0.5},
        {"mean": ["bright"]},
        {"std": None},
    ],
    ids=str,
)
def test_other_values_than_an_image_spec_are_refused(change: dict[str, Any]) -> None:
    values = {name: value for name, value in (FLOWERS.as_dict() | change).items() if value is not ...}
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
        ({"mean": (0.5,)}, "each of 3 channels needs a mean"),
        ({"std": (0.2, 0.2, 0.0)}, "a standard deviation above 0"),
    ],
    ids=str,
)
def test_impossible_image_specs_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(FLOWERS, **change)


def test_a_network_takes_images_of_the_same_shape_and_classes_whatever_their_brightness() -> None:
    assert FLOWERS.same_images(replace(FLOWERS, mean=(0.1, 0.1, 0.1)))
    assert not FLOWERS.same_images(replace(FLOWERS, width=32))
    assert not FLOWERS.same_images(replace(FLOWERS, classes=("rose", "iris")))


def test_it_is_said_in_a_line() -> None:
    assert str(FLOWERS) == "3 x 32 x 40 pixels, 2 classes (iris, rose)"
    many = replace(FLOWERS, classes=tuple(f"c{number}" for number in range(40)))
    assert str(many).startswith("3 x 32 x 40 pixels, 40 classes (c0, c1, c2, ")
    assert str(many).endswith(", c28, c29, ...)")

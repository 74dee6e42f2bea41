"""Images that hardly are digits are doubted."""

import numpy as np
import pytest

from convblocks.data.images import ImageSets
from convblocks.handwriting.sight import Pixels, doubt


def image(*boxes: tuple[int, int, int, int]) -> Pixels:
    """Rectangles of ink: top, left, bottom, right."""
    seen = np.zeros((1, 28, 28), np.uint8)
    for top, left, bottom, right in boxes:
        seen[0, top:bottom, left:right] = 255
    return seen


def test_of_mnists_digits_fewer_than_three_in_a_thousand_are_doubted(digits: ImageSets) -> None:
    some = digits.train.images[:10_000].numpy()
    assert 0 < sum(doubt(one) is not None for one in some) < 30


@pytest.mark.parametrize("set_of_them", ["train", "test"])
def test_most_of_mnists_digits_are_not_doubted(set_of_them: str, digits: ImageSets) -> None:
    some = getattr(digits, set_of_them).images[:20].numpy()
    assert [doubt(one) for one in some] == [None] * 20


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (image(*((row, 4, row + 2, 24) for row in range(4, 24, 4))), "5 separate parts"),
        (image((4, 4, 24, 24)), "51 % inked"),
        (image((13, 4, 14, 16)), "only 2 % inked"),
        (
            image(
                *((row, 4, row + 1, 23) for row in (4, 12, 20)),
                *((4, column, 21, column + 1) for column in (4, 10, 16, 22)),
            ),
            "6 holes",
        ),
    ],
)
def test_the_doubt_names_its_reason(seen: Pixels, reason: str) -> None:
    assert doubt(seen) == reason

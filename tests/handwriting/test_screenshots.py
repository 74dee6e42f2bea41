"""The pictures of TensorBoard and of the demo that the documentation shows."""

import pytest
from PIL import Image, ImageSequence

from convblocks.errors import UsageError
from docs import screenshots


def test_the_gif_lasts_six_seconds_and_has_less_than_a_megabyte() -> None:
    path = screenshots.DOCS / "demo.gif"
    with Image.open(path) as picture:
        assert sum(frame.info["duration"] for frame in ImageSequence.Iterator(picture)) == 6000
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("name", ["tensorboard.png", "demo.png", "demo-dark.png", "demo-maps.png", "pictures-demo.png"])
def test_the_stills_are_as_wide_as_a_page_shows_them_sharply(name: str) -> None:
    with Image.open(screenshots.DOCS / name) as picture:
        assert 838 <= picture.width <= 1600


def test_other_pictures_are_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="there are no pictures 'moves': choose some of board, stills, pictures, gif"):
        screenshots.main(["moves"])

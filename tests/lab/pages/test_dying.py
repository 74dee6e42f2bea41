"""README's picture begins with the dead network, and stays there."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from lab.pages import dying
from lab.pages.play import SHADES, read_numbers
from lab.pages.writing import DATA, REPOSITORY


@pytest.mark.parametrize("name", ["dying.gif", "dying-dark.gif"])
def test_picture_opens_and_rests_on_the_last_step(name: str) -> None:
    steps = read_numbers(DATA)["steps"]
    with Image.open(REPOSITORY / "docs" / "manual" / name) as picture:
        rest = picture.info["duration"]
        frames = len([*ImageSequence.Iterator(picture)])
    assert frames == len(steps)
    assert rest >= 5 * dying.PACE


def test_maxpool_is_dead_in_the_middle_and_the_others_live() -> None:
    runs = read_numbers(DATA)["runs"]
    panels = [dying.panel_of(runs, arch, rate) for arch, rate in dying.RUNS]
    assert [panel.dead[-1].sum() > 60 for panel in panels] == [False, True, False]
    assert [panel.accuracies[-1] > 0.9 for panel in panels] == [True, False, True]


def test_dead_units_are_grey_and_others_show_what_they_see() -> None:
    maps, dead = np.zeros((64, 7, 7), np.uint8), np.zeros(64, bool)
    maps[9, 3, 2], dead[63] = SHADES - 1, True
    sheet = dying.mosaic(maps, dead)
    assert sheet.shape == (63, 63, 4)
    assert (sheet[11, 10] == 255).all()
    assert (sheet[56:, 56:, :3] == dying.GREY).all()
    assert not sheet[:7, :7, :3].any()
    assert not sheet[7].any()  # a gap

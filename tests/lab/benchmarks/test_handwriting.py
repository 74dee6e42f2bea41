"""Each answer to a drawing is kept, and the page is counted from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convblocks.errors import UserError
from lab.benchmarks.handwriting import __main__ as benchmark
from lab.benchmarks.handwriting.drawing import draw_all
from lab.benchmarks.handwriting.page import markdown, mistakes_table, networks_table, recognised_table, sheet
from lab.benchmarks.handwriting.results import Drawn, Network, Results
from lab.benchmarks.pages import read_raw_numbers

DRAWN = [
    *(Drawn(digit, "strokes", form, "paper") for digit in (3, 8) for form in ("flat top", "round")),
    *(Drawn(digit, "font", "cmr10", "noisy") for digit in (3, 8)),
]
# It takes one 8 for a 3, the other network every 8.
FIRST = Network("maxpool", "onecycle", 5, 0, 1, "a computer", "abc1234", 0.9927, [3, 3, 8, 8, 3, 3])
RESULTS = Results(
    "a machine", None, 7, DRAWN, [FIRST, replace(FIRST, arch="batchnorm", accuracy=0.98, answers=[3] * 6)]
)


def test_the_tables_count_the_answers_of_each_network() -> None:
    assert networks_table(RESULTS).rows == [
        ["maxpool", "onecycle", "99.27 %", "5 of 6", "83.3 %", "4 of 4", "1 of 2", "8: 66.7 %"],
        ["batchnorm", "onecycle", "98.00 %", "3 of 6", "50.0 %", "2 of 4", "1 of 2", "8: 0.0 %"],
    ]
    rows = {row[0]: row[1:] for row in recognised_table(RESULTS).rows}
    assert rows["all"] == ["6", "5", "83.3 %"]
    assert rows["strokes"] == rows["paper"] == ["4", "4", "100.0 %"]
    assert rows["font"] == rows["noisy"] == ["2", "1", "50.0 %"]
    assert mistakes_table(RESULTS).rows == [["8", "3", "1", "3"]]


def test_the_most_frequent_mistakes_come_first_and_rare_ones_are_left_out() -> None:
    """Of 24 pictures of a 3: twelve different digits, of which the 7 is seen most often."""
    answers = [7] * 12 + list(range(10, 22))
    table = mistakes_table(replace(RESULTS, drawn=DRAWN[:1] * len(answers), networks=[replace(FIRST, answers=answers)]))
    assert (table.rows[0], len(table.rows)) == (["3", "7", "12"], 10)
    assert table.notes == ["The most frequent ones: 21 of all 24 mistakes."]


def test_the_sheet_has_every_second_drawing_in_its_row() -> None:
    drawings = [one for one, _ in zip(draw_all(seed=0), range(8), strict=False)]
    drawings += [replace(one, digit=1) for one in drawings[:2]]
    pixels = np.asarray(sheet(drawings))
    assert pixels.shape == (2 * 48, 4 * 48, 4)
    is_drawn = (pixels.reshape(2, 48, 4, 48, 4)[..., 3] > 0).any(axis=(1, 3))
    assert is_drawn.tolist() == [[True] * 4, [True, False, False, False]]


def test_a_checkpoint_belongs_to_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.ckpt lies in no finished run"):
        benchmark.main([str(tmp_path / "mine.ckpt"), "--out", str(tmp_path)])


@pytest.mark.nightly
def test_the_command_keeps_every_answer(trained: Path, tmp_path: Path) -> None:
    benchmark.main([str(trained), "--out", str(tmp_path)])
    results = read_raw_numbers(tmp_path / "data", "handwriting", Results)
    (network,) = results.networks
    assert (network.arch, network.schedule, network.epochs, network.threads) == ("batchnorm", "onecycle", 2, 1)
    assert len(network.answers) == len(results.drawn) == 400
    page = (tmp_path / "lab" / "handwriting.md").read_text()
    assert page == markdown(results)
    assert "## 400 pictures" in page
    with Image.open(tmp_path / "lab" / "drawings.png") as drawings:
        assert drawings.size == (960, 480)

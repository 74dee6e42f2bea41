"""Each answer to a drawing is kept, and the page is counted from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.handwriting.__main__ import run_of
from benchmarks.handwriting.drawing import draw_all
from benchmarks.handwriting.page import markdown, mistakes_table, networks_table, recognised_table, sheet
from benchmarks.handwriting.results import Drawn, Network, Results
from benchmarks.pages import read_raw_numbers
from convblocks.errors import UserError

DRAWN = [
    *(Drawn(digit, "strokes", form, "paper") for digit in (3, 8) for form in ("flat top", "round")),
    *(Drawn(digit, "font", "cmr10", "noisy") for digit in (3, 8)),
]


@pytest.fixture
def results() -> Results:
    """The first network takes one 8 for a 3, the second one every 8."""
    first = Network("maxpool", "onecycle", 5, 0, 1, "a computer", "abc1234", 0.9927, [3, 3, 8, 8, 3, 3])
    second = replace(first, arch="batchnorm", accuracy=0.98, answers=[3, 3, 3, 3, 3, 3])
    return Results("a machine", None, 7, DRAWN, [first, second])


def test_each_network_has_a_line(results: Results) -> None:
    assert networks_table(results).rows == [
        ["maxpool", "onecycle", "99.27 %", "5 of 6", "83.3 %", "4 of 4", "1 of 2", "8: 66.7 %"],
        ["batchnorm", "onecycle", "98.00 %", "3 of 6", "50.0 %", "2 of 4", "1 of 2", "8: 0.0 %"],
    ]
    (origin,) = networks_table(results).notes
    assert origin == "Trained for 5 epochs with seed 0, 1 thread, on a computer; commit abc1234."


def test_what_is_recognised_is_told_by_kind_and_background(results: Results) -> None:
    rows = {row[0]: row[1:] for row in recognised_table(results, results.networks[0]).rows}
    assert (rows["all"], rows["font"]) == (["6", "5", "83.3 %"], ["2", "1", "50.0 %"])
    assert (rows["paper"], rows["noisy"]) == (["4", "4", "100.0 %"], ["2", "1", "50.0 %"])


def test_a_mistake_is_counted_for_each_network(results: Results) -> None:
    table = mistakes_table(results)
    assert table.columns == ["drawn", "read as", "maxpool, onecycle", "batchnorm, onecycle"]
    assert table.rows == [["8", "3", "1", "3"]]
    assert table.notes == ["The most frequent ones: 4 of all 4 mistakes."]


def test_the_most_frequent_mistakes_come_first_and_rare_ones_are_left_out(results: Results) -> None:
    """Of 24 pictures of a 3: twelve different digits, of which the 7 is seen most often."""
    answers = [7] * 12 + list(range(10, 22))
    results.networks = [replace(results.networks[0], answers=answers)]
    results.drawn = [DRAWN[0]] * len(answers)
    table = mistakes_table(results)
    assert table.rows[0] == ["3", "7", "12"]
    assert len(table.rows) == 10
    assert table.notes == ["The most frequent ones: 21 of all 24 mistakes."]


def test_the_page_says_what_was_drawn_where(results: Results) -> None:
    page = " ".join(markdown(results).split())
    assert "## 6 pictures" in page
    assert "3 of each digit. 2 of those are a pen's strokes" in page
    assert "those of seed 7, drawn on a machine; commit unknown." in page


def test_the_sheet_has_every_second_drawing_in_its_row() -> None:
    drawings = [one for one, _ in zip(draw_all(seed=0), range(8), strict=False)]
    drawings += [replace(one, digit=1) for one in drawings[:2]]
    pixels = np.asarray(sheet(drawings))
    assert pixels.shape == (2 * 48, 4 * 48, 4)
    places = pixels.reshape(2, 48, 4, 48, 4).swapaxes(1, 2)
    is_drawn = (places[..., 3] > 0).any(axis=(2, 3))
    assert is_drawn.tolist() == [[True] * 4, [True, False, False, False]]


def test_a_checkpoint_belongs_to_a_run(tmp_path: Path) -> None:
    run = run_of(tmp_path / "lightning_logs" / "mlp" / "first" / "checkpoints" / "last.ckpt")
    assert (run.name, run.path) == ("mlp/first", tmp_path / "lightning_logs" / "mlp" / "first")
    with pytest.raises(UserError, match=r"mine\.ckpt lies in no run directory"):
        run_of(tmp_path / "mine.ckpt")


def test_the_command_keeps_every_answer(handwriting: Path) -> None:
    results = read_raw_numbers(handwriting / "data", "handwriting", Results)
    (network,) = results.networks
    assert (network.arch, network.schedule, network.epochs, network.threads) == ("batchnorm", "onecycle", 2, 1)
    assert len(network.answers) == len(results.drawn) == 400
    assert results.score(network).share >= 0.9
    assert (handwriting / "lab" / "handwriting.md").read_text() == markdown(results)
    with Image.open(handwriting / "lab" / "drawings.png") as drawings:
        assert drawings.size == (960, 480)

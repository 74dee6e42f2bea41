"""The benchmark of handwriting keeps each answer to a drawing, and counts its page from them."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from convblocks.errors import UserError
from lab.benchmarks.handwriting import __main__ as benchmark
from lab.benchmarks.handwriting.page import markdown, mistakes_table, networks_table, recognised_table
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


def test_tables_count_the_answers_of_each_network() -> None:
    assert networks_table(RESULTS).rows == [
        ["maxpool", "onecycle", "99.27 %", "5 of 6", "83.3 %", "4 of 4", "1 of 2", "8: 66.7 %"],
        ["batchnorm", "onecycle", "98.00 %", "3 of 6", "50.0 %", "2 of 4", "1 of 2", "8: 0.0 %"],
    ]
    rows = {row[0]: row[1:] for row in recognised_table(RESULTS).rows}
    assert rows["all"] == ["6", "5", "83.3 %"]
    assert rows["strokes"] == rows["paper"] == ["4", "4", "100.0 %"]
    assert rows["font"] == rows["noisy"] == ["2", "1", "50.0 %"]
    assert mistakes_table(RESULTS).rows == [["8", "3", "1", "3"]]


def test_checkpoint_belongs_to_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.ckpt lies in no finished run"):
        benchmark.main([str(tmp_path / "mine.ckpt"), "--out", str(tmp_path)])


@pytest.mark.nightly
def test_handwriting_benchmark_keeps_every_answer(trained: Path, tmp_path: Path) -> None:
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

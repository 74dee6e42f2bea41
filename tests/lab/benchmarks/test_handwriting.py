"""The benchmark of handwriting keeps each answer to a drawing, and counts its page from them."""

from pathlib import Path

import pytest
from PIL import Image

from convblocks.errors import UserError
from lab.benchmarks.handwriting import __main__ as benchmark
from lab.benchmarks.handwriting.page import markdown
from lab.benchmarks.handwriting.results import Results
from lab.benchmarks.pages import read_raw_numbers


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

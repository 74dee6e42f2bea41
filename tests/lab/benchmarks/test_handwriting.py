"""The benchmark of handwriting keeps each answer to a drawing, and counts its page from them."""

from pathlib import Path

import pytest
from PIL import Image

from lab.benchmarks.handwriting import __main__ as benchmark
from lab.benchmarks.handwriting.page import markdown
from lab.benchmarks.handwriting.results import Results
from lab.benchmarks.pages import read_raw_numbers


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

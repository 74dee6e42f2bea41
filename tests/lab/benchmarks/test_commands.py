"""The commands of the benchmarks."""

from pathlib import Path

import pytest

from convblocks.errors import UsageError, UserError
from lab.benchmarks.rows import Results
from lab.benchmarks.training import __main__ as training
from lab.pages.writing import DATA, read_raw_numbers
from tests.scripts import run_benchmark

# The page of each, and the options with which it measures least.
BENCHMARKS = {
    "training": ("performance", ["--rounds", "1", "--steps", "2"]),
    "processes": ("processes", ["--rounds", "1", "--steps", "3"]),
    "pictures": ("pictures", ["--rounds", "2", "--pictures", "64"]),
    "growth": ("growth", ["--rounds", "1", "--sizes", "2"]),
    "resume": ("resume", ["--rounds", "1", "--batches", "2"]),
    "search": (
        "search",
        [
            *[
                "--rounds",
                "1",
                "--runs",
                "2",
                "--trials",
                "2",
                "--epochs",
                "1",
                "--repeats",
                "1",
                "--jobs",
                "2",
            ],
            *[
                "--data.val_size",
                "500",
                "--trainer.limit_train_batches",
                "5",
                "--trainer.logger",
                "false",
            ],
        ],
    ),
}

# The labels that say what is measured. Where there is no compiler, one variant is missing.
LABELS = (
    *("part", "variant", "command", "fast", "of", "runs", "data", "way", "quantity", "search"),
    *("loader", "exact"),
)
OPTIONAL = {"torch.compile"}


def measured(results: Results) -> set[tuple[str, str]]:
    labels = {
        (name, str(row.labels[name]))
        for row in results.rows
        for name in LABELS
        if name in row.labels
    }
    return {(name, value) for name, value in labels if value not in OPTIONAL}


@pytest.mark.nightly
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_benchmark_measures_all_that_its_page_shows(benchmark: str, tmp_path: Path) -> None:
    page, options = BENCHMARKS[benchmark]
    finished = run_benchmark(benchmark, "--arch", "mlp", *options, "--out", "out", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    results = read_raw_numbers(tmp_path / "out" / "data", page, Results)
    assert measured(results) == measured(read_raw_numbers(DATA, page, Results))
    assert (tmp_path / "out" / "lab" / f"{page}.md").is_file()


def test_benchmark_rejects_wrong_options_before_it_measures() -> None:
    with pytest.raises(UsageError, match="--rounds: must be at least 1, but is 0"):
        training.main(["--rounds", "0"])
    with pytest.raises(UserError, match="cannot write to /dev/null/out"):
        training.main(["--out", "/dev/null/out"])

"""What docs/train.py keeps of runs, and what the pages make of that."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from convblocks.errors import UsageError
from convblocks.runs.result import read_results
from docs import comparisons, pages, train
from tests.comparison.made_up import provenance, result
from tests.conftest import DEBUG, REPOSITORY


def test_a_name_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="there is nothing called rates: choose from study, onecycle"):
        train.main(["rates"])


def test_other_machines_are_kept_and_this_ones_replaced() -> None:
    one = result("maxpool", 0, 0.99)
    machines = ["2 CPUs (Xeon), Linux, python 3.11.2", "2 CPUs (Xeon), Linux, python 3.12.1", "2 CPUs (EPYC), Linux"]
    old, new, other = (replace(one, provenance=provenance(machine)) for machine in machines)
    assert train.of_other_machines([other, old], [new]) == [other]


def test_mistakes_are_kept_where_a_page_shows_them(tmp_path: Path) -> None:
    runs = [result("mlp", 0, 0.9998, mistakes=(3, 7))]
    for name in ("study-choose", "study-confirm"):
        train.keep(tmp_path, name, runs)
    assert read_results(tmp_path / "study-choose.jsonl") == [replace(runs[0], mistakes=None)]
    assert read_results(tmp_path / "study-confirm.jsonl") == runs


@pytest.mark.slow
def test_a_page_is_made_of_what_was_trained(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call trains nothing, and makes the same records and page."""
    command = ["scripts/compare.py", "--name", "batches", "--arch", "mlp", "--seeds", "2", *DEBUG, "--epochs", "1"]
    monkeypatch.setitem(comparisons.COMMANDS, "batches", [*command, "--grid", "batch_size=64,256", "--grid", "lr=0.01"])
    made = []
    for _ in range(2):
        train.TRAINED["batches"](workspace / "docs" / "data")
        pages.write_batches(workspace / "docs" / "data", workspace)
        files = [*(workspace / "docs" / "data").iterdir(), workspace / "docs" / "lab" / "batches.md"]
        made.append({path.name: path.read_text() for path in files})
    assert made[0] == made[1]
    runs = read_results(workspace / "docs" / "data" / "batches.jsonl")
    assert [dict(one.overrides)["batch_size"] for one in runs] == ["64", "64", "256", "256"]
    assert "n = 4 runs" in made[0]["batches.md"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pages", "train"])
def test_the_commands_find_what_they_need_from_anywhere(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "docs" / f"{name}.py"), "--help"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith(f"usage: python docs/{name}.py")

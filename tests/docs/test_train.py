"""What docs/train.py keeps of runs, and what the page makes of that."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from convblocks.errors import UsageError
from convblocks.runs.result import read_results
from docs import experiments, train
from tests.comparison.made_up import provenance, result
from tests.conftest import DEBUG, REPOSITORY


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="there is nothing called rates: choose from study, onecycle"):
        train.main(["rates"])


def test_a_sprint_on_other_machines_is_kept_and_this_ones_replaced(tmp_path: Path) -> None:
    one = result("maxpool", 0, 0.99)
    machines = ["2 CPUs (Xeon), Linux, python 3.11.2", "2 CPUs (Xeon), Linux, python 3.12.1", "2 CPUs (EPYC), Linux"]
    old, new, other = (replace(one, provenance=provenance(machine)) for machine in machines)
    for runs in ([other, old], [new]):
        train.keep(tmp_path, "sprint", runs)
    assert read_results(tmp_path / "sprint.jsonl") == [other, new]


def test_mistakes_are_kept_where_a_page_shows_them(tmp_path: Path) -> None:
    runs = [result("mlp", 0, 0.9998, mistakes=(3, 7))]
    for name in ("study-choose", "study-confirm"):
        train.keep(tmp_path, name, runs)
    assert read_results(tmp_path / "study-choose.jsonl") == [replace(runs[0], mistakes=None)]
    assert read_results(tmp_path / "study-confirm.jsonl") == runs


@pytest.mark.nightly
def test_a_page_is_made_of_what_was_trained(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call trains nothing, and makes the same records and page."""
    flags = " ".join(["--name batches --arch mlp --seeds 2", *DEBUG, "--epochs 1"])
    short = replace(experiments.EXPERIMENTS["batches"], arguments=f"{flags} --grid batch_size=64,256 --grid lr=0.01")
    for module in (experiments, train):
        monkeypatch.setattr(module, "EXPERIMENTS", {"batches": short})
    data, page = workspace / "docs" / "data", workspace / "docs" / "lab" / "experiments.md"
    page.parent.mkdir(parents=True)
    made = []
    for _ in range(2):
        train.TRAINED["batches"](data)
        experiments.write_experiments(data, workspace)
        made.append([(data / "batches.jsonl").read_text(), page.read_text()])
    assert made[0] == made[1]
    runs = read_results(data / "batches.jsonl")
    assert [dict(one.overrides)["batch_size"] for one in runs] == ["64", "64", "256", "256"]
    assert f"`python scripts/compare.py {short.arguments}`: n = 4 runs" in page.read_text()


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["pages", "train"])
def test_the_commands_find_their_imports_from_anywhere(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "docs" / f"{name}.py"), "--help"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith(f"usage: python docs/{name}.py")

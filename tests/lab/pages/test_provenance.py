"""The documentation's records name the commits that their runs were trained at, and
those are in the history.
"""

import re
import shlex
import subprocess
from collections import Counter

import pytest

from lab.benchmarks.rows import Results
from lab.pages import provenance
from lab.pages.provenance import manifest, merged, read_manifest
from lab.pages.writing import DATA, read_raw_numbers
from lab.results import read_results
from tests.conftest import REPOSITORY

RECORDS = [path.stem for path in sorted(DATA.glob("*.jsonl"))]

# The pages of speed, and the folders of lab/benchmarks/ that measure them. search.md is none,
# and says why.
PAGES_OF_SPEED = {
    "performance": "training",
    "processes": "processes",
    "pictures": "pictures",
    "growth": "growth",
    "resume": "resume",
}

# How many later commits may have touched what a page of speed measures.
MOST_COMMITS = 20


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def history() -> None:
    """Skips where the history is not whole."""
    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("needs the repository with its whole history: git fetch --unshallow")


def fault(name: str, commit: str) -> str | None:
    """Why runs cannot have been trained at a commit; None if they can."""
    if commit.endswith("-dirty"):
        return "differs from its commit"
    if git("merge-base", "--is-ancestor", commit, "HEAD").returncode:
        return "is not in the history of HEAD"
    script = "scripts/study.py" if name.startswith("study-") else "scripts/compare.py"
    if git("cat-file", "-e", f"{commit}:{script}").returncode:
        return f"has no {script}"
    return None


@pytest.mark.parametrize("name", RECORDS)
def test_commits_of_records_are_in_the_history_and_have_the_script(
    name: str, history: None
) -> None:
    commits = {run.provenance.commit or "unknown" for run in read_results(DATA / f"{name}.jsonl")}
    assert not {commit: reason for commit in commits if (reason := fault(name, commit))}


def test_commits_of_other_numbers_are_in_the_history(history: None) -> None:
    texts = [path.read_text() for path in DATA.rglob("*.json")]
    named = re.compile(r'"(?:git_)?commit": (?:"(.*?)"|null)')
    commits = {commit for text in texts for commit in named.findall(text)}
    assert not {commit: reason for commit in commits if (reason := fault("", commit))}


@pytest.mark.parametrize("name", RECORDS)
def test_every_run_of_a_record_is_in_its_manifest(name: str) -> None:
    runs = Counter(str(run.provenance.commit) for run in read_results(DATA / f"{name}.jsonl"))
    written: Counter[str] = Counter()
    for entry in read_manifest(DATA, name):
        written[str(entry["git_commit"])] += entry["runs"]
    assert written == runs


@pytest.mark.parametrize("page", PAGES_OF_SPEED)
def test_speed_was_measured_not_long_ago(page: str, history: None) -> None:
    """And by the code of a commit: of what is measured, and of the benchmark."""
    benchmark, measured = PAGES_OF_SPEED[page], read_raw_numbers(DATA, page, Results)
    command = f"python -m lab.benchmarks.{benchmark} {shlex.join(measured.arguments)}"
    commit = str(measured.commit)
    assert provenance.is_committed(measured.commit), f"measure it again, of a commit: {command}"
    assert git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0, (
        f"{commit} is not in the history"
    )
    measured_code = ("src/exact_resume",) if benchmark == "resume" else provenance.MEASURED
    code = (*measured_code, f"lab/benchmarks/{benchmark}")
    since = int(git("rev-list", "--count", f"{commit}..", "--", *code).stdout)
    assert since <= MOST_COMMITS, (
        f"{since} later commits have touched what it measures. Measure it again: {command}"
    )


def test_manifest_has_each_origin_once() -> None:
    """What differs from run to run is left out, and so are the commands of resumes."""
    shared = {
        "python": "3.11",
        "machine": "2 CPUs",
        "git_commit": "abc1234",
        "packages": {"torch": "2.13"},
    }
    runs = [
        shared | {"command": f"fit --seed {seed}", "seed": seed, "data": {"train": "0a"}}
        for seed in range(4)
    ]
    runs[1]["packages"] = {"torch": "2.14"}
    runs[3]["resumed"] = [{"command": "fit --resume", "changes": ["machine: 2 CPUs -> 4 CPUs"]}]
    assert manifest(runs) == [
        {"runs": 2, "example": "fit --seed 0", **shared},
        {"runs": 1, "example": "fit --seed 1", **shared, "packages": {"torch": "2.14"}},
        {
            "runs": 1,
            "example": "fit --seed 3",
            **shared,
            "resumed": [["machine: 2 CPUs -> 4 CPUs"]],
        },
    ]


def test_entries_of_one_origin_are_merged() -> None:
    first, other = {"git_commit": "abc1234"}, {"git_commit": "abc1235"}
    entries = [
        {"runs": 2, "example": "fit --seed 0", **first},
        {"runs": 1, "example": "fit --seed 2", **other},
        {"runs": 3, "example": "fit --seed 3", **first},
    ]
    assert merged(entries) == [
        {"runs": 5, "example": "fit --seed 0", **first},
        {"runs": 1, "example": "fit --seed 2", **other},
    ]

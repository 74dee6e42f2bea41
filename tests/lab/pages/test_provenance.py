"""The documentation's records name the commits that their runs were trained at, and those are in the history."""

import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from convblocks.run.result import RunResult
from lab.benchmarks.pages import read_raw_numbers
from lab.benchmarks.rows import Results
from lab.pages import provenance
from lab.pages.provenance import changes_table, commits_since, manifest, read_manifest
from lab.pages.writing import DATA
from lab.results import read_results, write_results
from tests.conftest import REPOSITORY
from tests.made_up import provenance as made_up
from tests.made_up import result

RECORDS = [path.stem for path in sorted(DATA.glob("*.jsonl"))]

# These runs named a commit that has no scripts/study.py, so they cannot have been trained at it; what their code was is
# not known. They are the study's first 72: every network at every setting, with the first two seeds.
UNKNOWN = {
    ("study-choose", arch, seed, rate, schedule)
    for arch in ("mlp", "maxpool", "batchnorm")
    for seed in (100, 101)
    for rate in ("1e-4", "3e-4", "1e-3", "3e-3", "1e-2", "3e-2")
    for schedule in ("constant", "onecycle")
}

# The pages of speed, and the folders of lab/benchmarks/ that measure them.
PAGES_OF_SPEED = {"performance": "training", "processes": "processes", "pictures": "pictures", "growth": "growth"}

# So many later commits may have touched what a page of speed measures.
MOST_COMMITS = 20

# While the package is rebuilt, every commit touches what they measure: they are measured again once, at its end.
IS_REBUILT = True

# Records with runs of code that differed from its commit: to be trained again, and then removed from here.
TO_BE_RUN_AGAIN = {"long"}


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def history() -> None:
    """Skips where the history is not whole; where it is, git has to answer, in CI as elsewhere."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("needs the repository with its history")
    shallow = git("rev-parse", "--is-shallow-repository")
    assert shallow.returncode == 0, shallow.stderr
    if shallow.stdout.strip() == "true":
        pytest.skip("needs the whole history: git fetch --unshallow")


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


def identity(name: str, run: RunResult) -> tuple[str, str, int, str, str]:
    options = dict(run.overrides)
    return name, run.arch, run.seed, options.get("lr", ""), options.get("lr_scheduler", "")


@pytest.mark.parametrize("name", RECORDS)
def test_every_commit_is_in_the_history_and_has_the_script(name: str, history: None) -> None:
    commits = {commit for run in read_results(DATA / f"{name}.jsonl") if (commit := run.provenance.commit)}
    faults = {commit: found for commit in commits if (found := fault(name, commit))}
    if name in TO_BE_RUN_AGAIN:
        assert set(faults.values()) == {"differs from its commit"}
    else:
        assert not faults


def test_only_the_runs_that_are_known_for_it_name_no_commit() -> None:
    runs = [(name, run) for name in RECORDS for run in read_results(DATA / f"{name}.jsonl")]
    nameless = [identity(name, run) for name, run in runs if run.provenance.commit is None]
    assert Counter(nameless) == Counter(UNKNOWN)


def test_faults_are_found(history: None) -> None:
    """The last two are of this history: the commit of runs that were said to be the study's, and that of others."""
    assert fault("long", "abc1234-dirty") == "differs from its commit"
    assert fault("long", "0123456789") == "is not in the history of HEAD"
    assert fault("study-choose", "a2fea31") == "has no scripts/study.py"
    assert fault("study-choose", "27c0667") is None


@pytest.mark.skipif(IS_REBUILT, reason="the pages of speed are measured again when the package has been rebuilt")
@pytest.mark.parametrize("page", PAGES_OF_SPEED)
def test_speed_was_measured_not_long_ago(page: str, history: None) -> None:
    """And by the code of a commit: of what is measured, and of the benchmark."""
    benchmark, measured = PAGES_OF_SPEED[page], read_raw_numbers(DATA, page, Results)
    command = f"python -m lab.benchmarks.{benchmark} {shlex.join(measured.arguments)}"
    commit = str(measured.commit)
    assert provenance.is_committed(measured.commit), f"measure it again, of a commit: {command}"
    assert git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0, f"{commit} is not in the history"
    since = int(commits_since(commit, (*provenance.MEASURED, f"lab/benchmarks/{benchmark}")))
    assert since <= MOST_COMMITS, f"{since} later commits have touched what it measures. Measure it again: {command}"


def test_a_manifest_is_of_the_runs_that_are_kept() -> None:
    """Records that were made before there were manifests have none."""
    for name in [path.stem for path in (DATA / provenance.MANIFESTS).glob("*.json")]:
        listed = Counter[str | None]()
        for origin in read_manifest(DATA, name):
            listed[origin["git_commit"]] += origin["runs"]
        assert listed == Counter(run.provenance.commit for run in read_results(DATA / f"{name}.jsonl")), name


def test_a_manifest_has_each_origin_once() -> None:
    """What differs from run to run is left out, and so are the commands of resumes."""
    shared = {"python": "3.11", "machine": "2 CPUs", "git_commit": "abc1234", "packages": {"torch": "2.13"}}
    runs = [shared | {"command": f"fit --seed {seed}", "seed": seed, "data": {"train": "0a"}} for seed in range(4)]
    runs[1]["packages"] = {"torch": "2.14"}
    runs[3]["resumed"] = [{"command": "fit --resume", "changes": ["machine: 2 CPUs -> 4 CPUs"]}]
    assert manifest(runs) == [
        {"runs": 2, "example": "fit --seed 0", **shared},
        {"runs": 1, "example": "fit --seed 1", **shared, "packages": {"torch": "2.14"}},
        {"runs": 1, "example": "fit --seed 3", **shared, "resumed": [["machine: 2 CPUs -> 4 CPUs"]]},
    ]


def test_later_commits_are_counted_where_they_touch_what_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@b.c", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    run("init")
    commits: list[str] = []
    for name in ("README.md", f"{provenance.MEASURED[1]}/blocks.py", "README.md", f"{provenance.MEASURED[0]}/mnist.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{len(commits)}\n")
        run("add", ".")
        run("commit", "-m", name)
        commits.append(run("rev-parse", "--short", "HEAD"))
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)
    assert [*map(commits_since, commits)] == ["2", "1", "1", "0"]
    origins = [made_up(commit=commit) for commit in (commits[0], commits[0], f"{commits[0]}-dirty", None)]
    write_results(tmp_path / "long.jsonl", [result("mlp", 0, 0.9, provenance=one) for one in origins])
    assert [list(row) for row in changes_table(tmp_path).rows] == [
        ["long", "2", commits[0], "2"],
        ["long", "1", f"{commits[0]}-dirty", "-"],
        ["long", "1", "unknown", "-"],
    ]

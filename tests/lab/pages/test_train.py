"""What lab/train.py keeps of runs, and what a page makes of that."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from convblocks.errors import UserError
from convblocks.record.directory import RunDirectory
from lab import train
from lab.pages.provenance import read_manifest
from lab.results import read_results
from tests.made_up import result


@pytest.mark.parametrize("commit", [None, "abc1234-dirty"])
def test_runs_of_code_that_is_not_committed_make_no_record(
    commit: str | None, workspace: Path
) -> None:
    runs = [(result("mlp", seed, 0.9), RunDirectory(f"seed_{seed}")) for seed in range(3)]
    for (_, directory), origin in zip(runs, ("abc1234", commit, commit), strict=True):
        directory.create()
        directory.provenance.write_text(json.dumps({"git_commit": origin}))
    with pytest.raises(UserError) as caught:
        train.keep(workspace, "long", runs)
    first = runs[1][1].path
    assert str(caught.value).startswith("2 of 3 runs of long make no record")
    assert f"commit it, move these runs away (the first is {first}), and train them again" in str(
        caught.value
    )
    assert not (workspace / "long.jsonl").exists()


def test_times_are_kept_beside_those_of_other_processors(workspace: Path) -> None:
    """And in place of those of this one."""
    run = result("mlp", 0, 0.9)
    for processor in (None, "family 25, model 1, AVX2", None):
        origin = replace(run.provenance, processor=processor)
        directory = RunDirectory(str(processor))
        directory.create()
        started = {"command": "fit", "machine": origin.machine, "git_commit": "abc1234"}
        known = {"processor": processor} if processor else {}
        directory.provenance.write_text(json.dumps(started | known))
        here = replace(run, provenance=origin)
        train.keep(workspace, "sprint", [(here, directory)])
    kept = [one.provenance.processor for one in read_results(workspace / "sprint.jsonl")]
    assert kept == ["family 25, model 1, AVX2", None]
    assert [one.get("processor") for one in read_manifest(workspace, "sprint")] == kept

"""What lab/train.py keeps of runs, and what a page makes of that."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from convblocks.compare.trials import Trial
from convblocks.errors import UserError
from convblocks.run.result import RunResult
from lab import train
from lab.pages.experiments import hardware
from lab.pages.provenance import read_manifest
from lab.results import read_results
from lab.train import Records, runs_of
from tests.made_up import provenance, result


def trained(name: str, results: Sequence[RunResult]) -> Records:
    """Records whose runs lie in the current folder, each with nothing but where it comes from."""
    records = Records(name, runs_of({Trial(name, run.arch, (), run.overrides, run.seed): run for run in results}))
    for run, directory in records.runs:
        directory.path.mkdir(parents=True, exist_ok=True)
        origin = {"command": f"fit --seed {run.seed}", "machine": hardware(run), "git_commit": run.provenance.commit}
        directory.provenance.write_text(json.dumps(origin))
    return records


@pytest.mark.parametrize("commit", [None, "abc1234-dirty"])
def test_runs_of_code_that_is_not_committed_make_no_record(commit: str | None, workspace: Path) -> None:
    runs = [result("mlp", seed, 0.9, provenance=provenance(commit=commit)) for seed in range(2)]
    records = trained("long", [result("maxpool", 0, 0.9), *runs])
    with pytest.raises(UserError) as caught:
        train.keep(workspace, records)
    first = records.runs[1][1].path
    assert str(caught.value).startswith("2 of 3 runs of long make no record")
    assert f"commit it, move these runs away (the first is {first}), and train them again" in str(caught.value)
    assert not (workspace / "long.jsonl").exists()


def test_record_of_other_machines_is_kept_and_this_ones_replaced(workspace: Path) -> None:
    machines = ["2 CPUs (Xeon), Linux, python 3.11.2", "2 CPUs (Xeon), Linux, python 3.12.1", "2 CPUs (EPYC), Linux"]
    old, new, other = (
        result("maxpool", seed, 0.99, provenance=provenance(machine))
        for seed, machine in zip((0, 0, 1), machines, strict=True)
    )
    for runs in ([other, old], [new]):
        train.keep(workspace, trained("sprint", runs))
    assert read_results(workspace / "sprint.jsonl") == [other, new]
    origins = read_manifest(workspace, "sprint")
    assert [(origin["machine"], origin["runs"]) for origin in origins] == [(hardware(run), 1) for run in (other, new)]

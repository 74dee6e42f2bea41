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

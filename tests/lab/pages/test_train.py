"""What lab/train.py keeps of runs, and what a page makes of that."""

import json
from pathlib import Path

import pytest

from convblocks.errors import UserError
from convblocks.run.directory import RunDirectory
from lab import train
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

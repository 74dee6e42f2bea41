"""Any task is searched by its judge."""

import json
from pathlib import Path

import pytest

from convblocks.search import command as search
from tests.any_task.tasks import TASKS, options_of

# torchdata calls what torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_search_chooses_by_the_judge(task: str, workspace: Path) -> None:
    flags = ["--trials", "4", "--confirm", "1", "--seeds", "2", "--jobs", "2", "--name", "search"]
    search.main([*options_of(task, epochs=1), "--space", "model.lr=1e-4..1e-1:log", *flags])
    found = json.loads(Path("lightning_logs/search/search.json").read_text())
    sign = 1 if TASKS[task][2].endswith("max") else -1
    best = max((row for row in found["trials"] if row["score"] is not None), key=lambda row: sign * row["score"])
    assert [setting["arch"] for setting in found["confirmed"]] == ["default", f"trial_{best['trial']}"]
    assert found["command"].startswith("convblocks fit --model ")

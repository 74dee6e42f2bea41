"""Any task is compared over seeds, and any modules with each other, by their judge."""

import json
from pathlib import Path

import pytest

from convblocks.compare import command as compare
from convblocks.run.directory import RunDirectory
from tests.any_task.tasks import HERE, TASKS, options_of

# torchdata calls what torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_task_is_compared_by_the_judge(task: str, workspace: Path) -> None:
    compare.main([*options_of(task, epochs=1), "--seeds", "3", "--jobs", "2", "--name", "seeds"])
    (arm,) = json.loads(Path("lightning_logs/seeds/comparison.json").read_text())["results"]
    runs = sorted(Path("lightning_logs/seeds").rglob("summary.json"))
    scores = [RunDirectory(str(run.parent.relative_to("lightning_logs"))).read_result().score for run in runs]
    assert len(set(scores)) == 3
    assert arm["score"]["value"] == pytest.approx(sum(scores) / 3)
    assert arm["trained"]["value"] == 1


def test_models_are_compared_and_the_better_one_is_found(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = options_of("regression")
    flags.insert(2, f"{HERE}.regression.Line")
    compare.main([*flags, "--seeds", "5", "--name", "models"])
    printed = capsys.readouterr().out
    assert "Curve is better than tests.any_task.regression.Line by 0." in printed
    assert "notebook" not in printed + Path("lightning_logs/models/comparison.md").read_text()

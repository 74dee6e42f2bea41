"""The study as a command, with real runs of three steps each."""

from pathlib import Path

import pytest

from convblocks.comparison.study import plan, stages
from convblocks.errors import UsageError, UserError
from convblocks.runs.directory import LOGS
from tests.conftest import REPOSITORY

SHORT = [
    *["--arch", "mlp", "--epochs", "1", "--data.root", str(REPOSITORY / "data"), "--trainer.logger", "false"],
    *["--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1", "--trainer.limit_test_batches", "1"],
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say which stage: choose or confirm"),
        (["decide"], "say which stage"),
        (["choose", "--seeds", "3"], "--seeds is settled by the study's protocol: see docs/protocol.md"),
        (["confirm", "--lr=0.1"], "--lr is settled by"),
        (["choose", "--learning", "3"], "learning"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str, workspace: Path) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        stages.main(arguments)
    assert "\n" not in str(raised.value)


def test_nothing_is_confirmed_before_it_was_chosen(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"24 runs of stage choose are not done: python scripts/study\.py choose"):
        stages.main(["confirm", *SHORT])


@pytest.mark.slow
def test_both_stages_go_on_where_they_were_stopped(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With half of the grid, and a third of the seeds that confirm."""
    monkeypatch.setattr(plan, "FIRST_RATES", ("1e-3", "3e-3", "1e-2"))
    monkeypatch.setattr(plan, "CONFIRMING_SEEDS", plan.CONFIRMING_SEEDS[:4])
    stages.main(["choose", *SHORT])
    assert "Chosen: mlp" in capsys.readouterr().out
    summaries = sorted((LOGS / "study" / "choose").rglob("summary.json"))
    assert len(summaries) >= 18  # the grid, and three more seeds for two cells
    stopped, kept = summaries[0], summaries[1].stat().st_mtime_ns
    before = stopped.read_text()
    stopped.unlink()
    stages.main(["choose", *SHORT])
    assert summaries[1].stat().st_mtime_ns == kept
    assert '"test/acc"' in before
    assert stopped.is_file()
    stages.main(["confirm", *SHORT])
    report = (LOGS / "study" / "confirm" / "report.md").read_text()
    assert report.startswith("## The notebook's setting, and each network's own best one")
    assert (LOGS / "study" / "confirm" / "report-dark.png").is_file()

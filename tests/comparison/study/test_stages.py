"""The study as a command, with real runs of three steps each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from convblocks.comparison.study import plan, stages
from convblocks.comparison.study.plan import Cell
from convblocks.comparison.training import Arm
from convblocks.errors import UsageError, UserError
from convblocks.runs.directory import LOGS, RunDirectory
from convblocks.runs.result import RunResult
from tests.comparison.made_up import result
from tests.conftest import REPOSITORY

SHORT = [
    *["--arch", "mlp", "--epochs", "1", "--data.root", str(REPOSITORY / "data"), "--trainer.logger", "false"],
    *["--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1", "--trainer.limit_test_batches", "1"],
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a stage: choose or confirm"),
        (["decide"], "give a stage"),
        (["choose", "--seeds", "3"], "--seeds is set by the study's protocol: see docs/lab/protocol.md"),
        (["confirm", "--lr=0.1"], "--lr is set by"),
        (["confirm", "--confirm", "3"], "--confirm is set by"),
        (["choose", "--learning", "3"], "learning"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str, workspace: Path) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        stages.main(arguments)
    assert "\n" not in str(raised.value)


def test_the_second_stage_runs_both_settings_of_each_network_with_fresh_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the notebook's setting is the best one, it is run once."""
    asked: list[tuple[str, str, str, Sequence[int]]] = []

    def confirm(
        directory: RunDirectory, arms: Mapping[str, Arm], seeds: Sequence[int], jobs: int, fit: bool
    ) -> dict[str, list[RunResult]]:
        asked.extend(
            (arm.arch, *Cell(*[dict(arm.overrides)[one] for one in Cell._fields]), seeds) for arm in arms.values()
        )
        return {name: [result(arm.arch, seed, 0.9) for seed in seeds] for name, arm in arms.items()}

    monkeypatch.setattr(stages, "confirm", confirm)
    best = Cell("3e-3", "onecycle")
    results = stages.results_of_confirmation(stages.parse(SHORT), {"mlp": plan.NOTEBOOK, "maxpool": best})
    cells = [("mlp", *plan.NOTEBOOK), ("maxpool", *plan.NOTEBOOK), ("maxpool", *best)]
    assert asked == [(*cell, plan.CONFIRMING_SEEDS) for cell in cells]
    assert len(results) == 3 * len(plan.CONFIRMING_SEEDS)


def test_nothing_is_confirmed_before_it_was_chosen(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"24 runs of stage choose are not done: python scripts/study\.py choose"):
        stages.main(["confirm", *SHORT])


@pytest.mark.parametrize(
    ("arch", "figures"), [("mlp", ["report", "report-dead-units"]), ("own_networks.Rows", ["report"])]
)
def test_networks_without_relu_have_no_figure_of_dead_units(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, arch: str, figures: list[str]
) -> None:
    results = [
        result(arch, seed, 0.9, cell.overrides, validation=0.9 + 0.01 * (cell == plan.NOTEBOOK))
        for cell, seed in plan.to_choose({})
    ]
    monkeypatch.setattr(stages, "results_of_choice", lambda options, fit: results)
    monkeypatch.setattr(stages, "choices_of", lambda results: {arch: plan.NOTEBOOK})
    monkeypatch.setattr(stages, "results_of_confirmation", lambda options, choices: results)
    stages.confirm_choices(stages.parse(SHORT))
    assert sorted(path.stem for path in (LOGS / "study" / "confirm").glob("*.png")) == figures


@pytest.mark.slow
def test_both_stages_go_on_where_they_were_stopped(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With half of the grid, and a third of the seeds that confirm."""
    monkeypatch.setattr(plan, "FIRST_RATES", ("1e-3", "3e-3", "1e-2"))
    monkeypatch.setattr(stages, "CONFIRMING_SEEDS", plan.CONFIRMING_SEEDS[:4])
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
    assert {path.name for path in (LOGS / "study" / "confirm").glob("report*.*")} == {
        *("report.md", "report.csv", "report.png", "report-dead-units.png")
    }

"""The runs that the study needs, given those that are done, and its command."""

from itertools import product
from pathlib import Path

import pytest

from convblocks.errors import UsageError, UserError
from convblocks.record.directory import LOGS
from lab.study import plan, stages
from lab.study.plan import (
    CONFIRMING_SEEDS,
    FIRST_RATES,
    MORE_SEEDS,
    RATES,
    SCHEDULES,
    SEEDS,
    Cell,
    Scores,
    chosen,
    to_choose,
)
from tests.conftest import REPOSITORY

SHORT = [
    *[
        "--arch",
        "mlp",
        "--epochs",
        "1",
        "--data.root",
        str(REPOSITORY / "data"),
        "--trainer.logger",
        "false",
    ],
    *[
        "--trainer.limit_train_batches",
        "3",
        "--trainer.limit_val_batches",
        "1",
        "--trainer.limit_test_batches",
        "1",
    ],
]


def scores(best: str, second: str = "1e-3", later: float = 0.0) -> Scores:
    """A score for every run that may be asked for: best at one rate of one cycle, a
    little less at another.

    With the further seeds the best one loses ``later``.
    """
    by_rate = {best: 0.99, second: 0.98}
    return {
        (Cell(lr, schedule), seed): (by_rate.get(lr, 0.9) if schedule == "onecycle" else 0.8)
        - (later if lr == best and seed in MORE_SEEDS else 0.0)
        for lr, schedule, seed in product(RATES, SCHEDULES, SEEDS + MORE_SEEDS)
    }


def test_choice_begins_with_a_grid_of_two_seeds_and_waits_until_that_is_done() -> None:
    first = to_choose({})
    assert set(first) == set(
        product([Cell(*setting) for setting in product(FIRST_RATES, SCHEDULES)], SEEDS)
    )
    assert len(first) == 24
    unfinished = {run: scores("3e-3")[run] for run in first[:-1]}
    assert to_choose(unfinished) == first
    assert chosen(unfinished) is None


def test_choice_gives_the_best_two_cells_further_seeds_and_all_seeds_decide() -> None:
    known = scores("3e-3")
    assert to_choose(known)[24:] == list(
        product([Cell("3e-3", "onecycle"), Cell("1e-3", "onecycle")], MORE_SEEDS)
    )
    assert chosen(known) == Cell("3e-3", "onecycle")
    assert chosen(scores("3e-3", later=0.05)) == Cell("1e-3", "onecycle")


@pytest.mark.parametrize(
    ("best", "beyond"), [("3e-2", ["1e-1"]), ("1e-4", ["3e-5"]), ("1e-1", []), ("3e-3", [])]
)
def test_grid_is_extended_by_a_best_value_at_its_edge(best: str, beyond: list[str]) -> None:
    """A value outside the first grid is asked for only once one at the edge is the best."""
    rates = dict.fromkeys(cell.lr for cell, _ in to_choose(scores(best)))
    assert [rate for rate in rates if rate not in FIRST_RATES] == beyond


def test_study_rejects_options_that_its_protocol_sets_and_a_choice_that_is_not_made(
    workspace: Path,
) -> None:
    with pytest.raises(UsageError, match="give a stage: choose or confirm"):
        stages.main([])
    with pytest.raises(
        UsageError, match=r"--lr is set by the study's protocol: see docs/lab/protocol\.md"
    ):
        stages.main(["confirm", "--lr=0.1"])
    with pytest.raises(
        UserError, match=r"24 runs of stage choose are not done: python scripts/study.py choose"
    ):
        stages.main(["confirm", *SHORT])


@pytest.mark.slow
def test_study_continues_where_it_was_stopped(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real runs of three steps, a grid of two rates, and two of the seeds that confirm."""
    for rates in ("FIRST_RATES", "RATES"):
        monkeypatch.setattr(plan, rates, ("1e-3", "1e-2"))
    monkeypatch.setattr(stages, "CONFIRMING_SEEDS", CONFIRMING_SEEDS[:2])
    stages.main(["choose", *SHORT])
    assert "Chosen: mlp " in capsys.readouterr().out
    summaries = sorted((LOGS / "study" / "choose").rglob("summary.json"))
    assert len(summaries) == 14  # the grid, and three more seeds for two cells
    stopped, first_time = summaries[0], summaries[1].stat().st_mtime_ns
    stopped.unlink()
    stages.main(["choose", *SHORT])
    assert stopped.is_file()
    assert summaries[1].stat().st_mtime_ns == first_time
    stages.main(["confirm", *SHORT])
    confirmed = {path.parent.name for path in (LOGS / "study" / "confirm").rglob("summary.json")}
    assert confirmed == {"seed_1000", "seed_1001"}
    assert (LOGS / "study" / "confirm" / "report.md").is_file()

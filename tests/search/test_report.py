"""The report of a search, of trials that were not trained (tests/compare/test_report.py says how to update it)."""

from argparse import Namespace
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import optuna
import pytest
from matplotlib.container import BarContainer
from optuna.trial import TrialState

from convblocks.compare.analysis import difference_of_means, summarise
from convblocks.compare.publish import Report
from convblocks.errors import UserError
from convblocks.figures.style import render
from convblocks.run.result import RunResult
from convblocks.search import report as reporting
from convblocks.search import space
from convblocks.search.command import finish
from convblocks.search.confirm import Confirmed
from convblocks.search.figure import search_figure
from convblocks.search.report import best_table, conclusion, importance_of, importance_table, points_of, report, winner
from convblocks.search.worker import MOST_KILLS, best_first
from tests.made_up import assert_expected, result
from tests.search.made_up import config, next_of, run_next, search, trial_of, write_run

DEFAULT = [result("mlp", seed, 0.95 + 0.001 * seed) for seed in range(1, 7)]


def fresh(accuracy: float, seeds: int = 6) -> list[RunResult]:
    return [result("mlp", seed, accuracy + 0.001 * seed, (("lr", "0.01"),)) for seed in range(1, seeds + 1)]


def confirmed(runs: Sequence[RunResult], default: Sequence[RunResult] = DEFAULT) -> list[Confirmed]:
    best = Confirmed("trial_3", 0.98, summarise(runs), difference_of_means(runs, default), 1, "test accuracy")
    return [best, Confirmed("default", None, summarise(default), None, 1, "test accuracy")]


def study() -> optuna.Study:
    """Trials of each kind: twelve complete, of which ten are shown, a pruned, a collapsed, and a failed one."""
    found = optuna.create_study(direction="maximize")
    for number in range(12):
        params = {"lr": 0.001 * 1.5**number, "batch_size": "64" if number % 3 else "32"}
        best = 0.99 - 0.002 * (number - 5) ** 2
        found.add_trial(trial_of(TrialState.COMPLETE, params, [best - 0.01, best], {}))
    params = {"lr": 0.05, "batch_size": "128"}
    found.add_trial(trial_of(TrialState.PRUNED, params, [0.2], {}))
    found.add_trial(trial_of(TrialState.PRUNED, params, [0.9, 0.1], {"collapsed": 2}))
    found.add_trial(trial_of(TrialState.FAIL, params, [], {"failed": "it ended with status 1: see a.log"}))
    return found


def test_the_report_is_the_expected_one(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[Report] = []
    monkeypatch.setattr(reporting, "publish", lambda content, *_: published.append(content))
    monkeypatch.setattr(reporting, "importance_of", lambda study: {"lr": 0.83, "batch_size": 0.17})
    report(config("some/where"), study(), confirmed(fresh(0.96)))
    (found,) = published
    assert_expected("search.md", found.to_markdown())
    ends = [one["ended"] for one in found.numbers["trials"]]
    assert ends == [row["ended"] for row in found.rows] == ["complete"] * 12 + ["pruned", "collapsed", "failed"]
    assert found.numbers["trials"][13]["epochs"] == {"1": 0.9, "2": 0.1}
    assert found.numbers["confirmed"][0]["optimism"] == pytest.approx(0.0165)


CONCLUSIONS = {
    "better": confirmed(fresh(0.96)),
    "worse": confirmed(fresh(0.94)),
    "not certain": confirmed(fresh(0.95)),
    "luck": confirmed([result("mlp", seed, 0.1135) for seed in (1, 2)]),
    "the default never trained": confirmed(fresh(0.96), [result("mlp", 1, 0.1135)]),
}


def test_the_conclusions_are_the_expected_ones() -> None:
    found = [f"## {case}\n{conclusion(best)}\n" for case, (best, _) in CONCLUSIONS.items()]
    assert_expected("search-conclusions.md", "\n".join(found))


def test_importances_are_shares_and_take_two_results_and_twenty_to_be_trusted() -> None:
    found = study()
    importance = importance_of(found)
    assert sum(importance.values()) == pytest.approx(1)
    assert importance["lr"] > importance["batch_size"]
    trials = best_first(found.get_trials())
    alone = optuna.create_study(direction="maximize")
    alone.add_trial(trials[0])
    assert importance_of(alone) == {}
    for count, notes in ((19, 2), (20, 1)):
        assert len(importance_table(importance, [*trials, *trials][:count]).notes) == notes


def test_a_network_that_takes_no_arguments_wins_without_those_of_the_others(workspace: Path) -> None:
    worker = search(archs=("mlp", "own.Net"), space=space.parse("network.hidden=16..64,lr=0.1..0.2"))
    while not best_first(worker.trials()):
        trial = next_of(worker)
        if trial.arch == "mlp":
            write_run(trial, [0.9, 0.9, 0.9])
        worker.tell(trial, 2 * (trial.arch != "mlp"))
    assert "network.hidden" not in winner(worker.config, worker.trials())
    assert "hidden" not in best_table(worker.config, worker.trials()).rows[0][-1]


def test_without_a_result_the_ends_of_the_trials_are_reported(workspace: Path) -> None:
    """One that is killed again and again is named with its log."""
    worker = search()
    worker.tell(next_of(worker), 2)
    with pytest.raises(UserError, match="no trial of s ran to its end: 1 failed"):
        finish(worker, Namespace(no_fit=False))
    trial = next_of(worker)
    for _ in range(MOST_KILLS):
        worker.tell(trial, -9)
    with pytest.raises(UserError, match="killed or failed again and again: s/trial_1; see lightning_logs/s/logs"):
        finish(worker, Namespace())


def test_the_figure_has_the_numbers_of_the_tables() -> None:
    trials, importance = study().get_trials(), {"lr": 0.83, "batch_size": 0.17}
    history, shares, *slices = search_figure(points_of(trials), config().dimensions(), importance).axes
    best = float(best_table(config(), trials).rows[0][1])
    (course,) = history.lines
    assert np.asarray(course.get_ydata())[-1] == pytest.approx(100 - best, abs=0.005)
    names = [label.get_text() for label in shares.get_yticklabels()]
    (bars,) = shares.containers
    assert isinstance(bars, BarContainer)
    widths = [[name, f"{bar.get_width():.0f} %"] for name, bar in zip(names, bars.patches, strict=True)]
    assert widths[::-1] == importance_table(importance, trials).rows
    for panel in (history, *slices):
        shown = np.concatenate([np.asarray(dots.get_offsets()) for dots in panel.collections])
        assert len(shown) == 14  # all but the failed one, which has no accuracy


@pytest.mark.parametrize(("dimensions", "trials"), [(space.DEFAULT, 3), ("lr=0.1..0.2,optimizer=adam|own.Lion", 1)])
def test_the_numbers_at_an_axis_do_not_overlap(dimensions: str, trials: int, workspace: Path) -> None:
    worker = search(space=space.parse(dimensions))
    for _ in range(trials):
        run_next(worker)
    figure = render(lambda: search_figure(points_of(worker.trials()), worker.config.dimensions(), {}))
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = sorted((label.get_window_extent() for label in axes.get_xticklabels()), key=lambda box: float(box.x0))
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes)), axes.get_title()

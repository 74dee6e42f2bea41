"""The report of a search, of trials that were not trained (tests/compare/test_report.py says how to update it)."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState

from convblocks.figures.report import Report
from convblocks.figures.style import render
from convblocks.run.result import RunResult
from convblocks.search import report as reporting
from convblocks.search import space
from convblocks.search.confirm import Confirmed, compare
from convblocks.search.figure import search_figure
from convblocks.search.report import best_table, command_for, conclusion, report
from convblocks.search.worker import SearchWorker
from tests.made_up import assert_expected, result
from tests.search.made_up import next_of, run_next, search, trial_of, write_run

DEFAULT = [result("mlp", seed, 0.95 + 0.001 * seed) for seed in range(1, 7)]
COLLAPSED = result("mlp", 9, 0.1135)


def fresh(accuracy: float) -> list[RunResult]:
    return [result("mlp", seed, accuracy + 0.001 * seed, (("lr", "0.01"),)) for seed in range(1, 7)]


def confirmed(runs: Sequence[RunResult], default: Sequence[RunResult] = DEFAULT) -> list[Confirmed]:
    return [compare("trial_5", 0.99, runs, default), compare("default", None, default, default)]


@pytest.fixture
def worker(workspace: Path) -> SearchWorker:
    """Trials of each kind: twelve complete, of which ten are shown, a pruned, a collapsed, and a failed one."""
    found = search()
    for number in range(12):
        params = {"lr": 0.001 * 1.5**number, "batch_size": "64" if number % 3 else "32"}
        best = 0.99 - 0.002 * (number - 5) ** 2
        found.study.add_trial(trial_of(TrialState.COMPLETE, params, [best - 0.01, best], {}))
    params = {"lr": 0.05, "batch_size": "128"}
    found.study.add_trial(trial_of(TrialState.PRUNED, params, [0.2], {}))
    found.study.add_trial(trial_of(TrialState.PRUNED, params, [0.9, 0.1], {"collapsed": 2}))
    found.study.add_trial(trial_of(TrialState.FAIL, params, [], {"failed": "it ended with status 1: see a.log"}))
    return found


def test_the_report_is_the_expected_one(worker: SearchWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[Report] = []
    monkeypatch.setattr(reporting, "publish", lambda content, *_: published.append(content))
    report(worker, confirmed(fresh(0.96)), "")
    (found,) = published
    assert_expected("search.md", found.to_markdown())
    assert [row["ended"] for row in found.runs] == ["complete"] * 12 + ["pruned", "collapsed", "failed"]


CONCLUSIONS = {
    "better": confirmed(fresh(0.96)),
    "worse": confirmed(fresh(0.94)),
    "not certain": confirmed(fresh(0.95)),
    "better, but it collapses": confirmed([*fresh(0.96), COLLAPSED]),
    "luck": confirmed([COLLAPSED, COLLAPSED]),
    "the default never trained": confirmed(fresh(0.96), [COLLAPSED]),
    "not confirmed": [],
}


def test_the_default_stands_unless_the_best_trial_beats_it(worker: SearchWorker) -> None:
    found = []
    for case, settings in CONCLUSIONS.items():
        sentences, command = conclusion(worker, settings)
        found.append("\n".join([f"## {case}", *sentences, command, ""]))
        assert ("--lr=" in command) == (case in ("better", "the default never trained", "not confirmed")), case
    assert_expected("search-conclusions.md", "\n".join(found))


def test_a_network_that_takes_no_arguments_wins_without_those_of_the_others(workspace: Path) -> None:
    worker = search(archs=("mlp", "own.Net"), space=space.parse(["network.hidden=16..64,lr=0.1..0.2"]))
    while not worker.best():
        trial = next_of(worker)
        if trial.arch == "mlp":
            write_run(trial, [0.9, 0.9, 0.9])
        worker.tell(trial, 2 * (trial.arch != "mlp"))
    assert "network.hidden" not in command_for(trial)
    assert "hidden" not in best_table(worker).cells[0][-1]


def test_the_figure_has_the_numbers_of_the_tables(worker: SearchWorker) -> None:
    history, *panels = search_figure(worker.trials(), worker.config.dimensions()).axes
    best = float(best_table(worker).cells[0][1])
    (course,) = history.lines
    assert np.asarray(course.get_ydata())[-1] == pytest.approx(100 - best, abs=0.005)
    for panel in (history, *panels):
        shown = np.concatenate([np.asarray(dots.get_offsets()) for dots in panel.collections])
        assert len(shown) == 14  # all but the failed one, which has no accuracy


@pytest.mark.parametrize(("dimensions", "trials"), [(space.DEFAULT, 3), ("lr=0.1..0.2,optimizer=adam|own.Lion", 1)])
def test_the_numbers_at_an_axis_do_not_overlap(dimensions: str, trials: int, workspace: Path) -> None:
    worker = search(space=space.parse([dimensions]))
    for _ in range(trials):
        run_next(worker)
    figure = render(lambda: search_figure(worker.trials(), worker.config.dimensions()))
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = sorted((label.get_window_extent() for label in axes.get_xticklabels()), key=lambda box: float(box.x0))
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes)), axes.get_title()

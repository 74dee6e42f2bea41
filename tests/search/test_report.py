"""The report of a search: its tables and its figure, of trials that were not trained."""

import json
from argparse import Namespace
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import BarContainer

from convblocks.comparison.analysis import summarise
from convblocks.comparison.statistics import permutation_test, sign_flip_test
from convblocks.comparison.training import on_all_images
from convblocks.errors import UserError
from convblocks.figures.search import search_figure
from convblocks.figures.style import render
from convblocks.runs.directory import LOGS
from convblocks.runs.result import Overrides, RunResult
from convblocks.search import space
from convblocks.search.confirm import TEST_ONCE, Confirmed, difference
from convblocks.search.report import (
    ENOUGH_FOR_IMPORTANCE,
    best_table,
    conclusion,
    confirmed_table,
    importance_of,
    importance_table,
    points_of,
    report,
    winner,
)
from convblocks.search.search import finish, status_line
from convblocks.search.worker import MOST_KILLS, SearchWorker, best_first
from tests.comparison.made_up import result
from tests.search import made_up
from tests.search.made_up import config, next_of, run_next, search, write_run

DEFAULT = [result("mlp", seed, 0.95 + 0.001 * seed) for seed in range(1, 7)]
BETTER = [result("mlp", seed, 0.96 + 0.001 * seed) for seed in range(1, 7)]


def confirmed(better: float = 0.96) -> list[Confirmed]:
    runs = [result("mlp", seed, better + 0.001 * seed, (("lr", "0.01"),)) for seed in range(1, 7)]
    best = Confirmed("trial_3", 0.98, summarise(runs), difference(runs, DEFAULT))
    return [best, Confirmed("default", None, summarise(DEFAULT), None)]


@pytest.fixture
def varied(workspace: Path) -> SearchWorker:
    return made_up.varied()


def test_the_best_trials_come_first_with_their_settings(varied: SearchWorker) -> None:
    table = best_table(varied.config, varied.trials())
    accuracies = [float(row[1]) for row in table.rows]
    assert accuracies == sorted(accuracies, reverse=True)
    number = int(table.rows[0][0].removeprefix("trial_"))
    params = varied.trials()[number].params
    assert table.rows[0][2:] == ["mlp", f"lr {params['lr']:.4g}, batch_size {params['batch_size']}"]
    counts = "8 trials: 5 complete, 1 pruned, 1 collapsed, 1 failed"
    assert table.notes == [f"{counts}. Sampler tpe, seed 0, pruner median."]


def test_no_more_than_ten_are_shown(workspace: Path) -> None:
    worker = search(pruner="none")
    for _ in range(12):
        run_next(worker)
    assert len(best_table(worker.config, worker.trials()).rows) == 10


def test_accuracies_in_the_search_and_with_fresh_seeds_are_side_by_side() -> None:
    table = confirmed_table(config(), confirmed())
    assert table.rows[0][:4] == ["trial_3", "mlp", "98.00", "6/6"]
    assert table.rows[0][5].startswith("+1.00 [")
    assert table.rows[0][-1] == "+1.65"  # 98 - 96.35
    assert table.rows[1] == ["default", "mlp", "-", "6/6", table.rows[1][4], "-", "-", "-"]


@pytest.mark.parametrize(
    ("better", "text"),
    [
        (
            0.96,
            "98.00 % in the search, 96.35 % on the test set with fresh seeds. It is better than the default by 1.00",
        ),
        (0.94, "It is worse than the default by 1.00 points"),
        (0.95, "That it differs from the default is not certain (by 0.00 points, p = 1.00)"),
    ],
)
def test_the_conclusion_depends_on_the_difference_to_the_default(better: float, text: str) -> None:
    assert text in conclusion(confirmed(better)[0])


def test_a_setting_that_never_trains_again_was_luck() -> None:
    collapsed = [result("mlp", seed, 0.1135) for seed in (1, 2)]
    one = Confirmed("trial_3", 0.98, summarise(collapsed), difference(collapsed, DEFAULT))
    assert conclusion(one) == "trial_3 collapsed with all of 2 fresh seeds: its accuracy in the search was luck."


def test_runs_of_one_network_are_paired_by_seed_if_there_are_enough() -> None:
    steps = [first.accuracy - second.accuracy for first, second in zip(BETTER, DEFAULT, strict=True)]
    assert difference(BETTER, DEFAULT) == sign_flip_test(steps)


@pytest.mark.parametrize(
    ("runs", "others"), [(BETTER[:5], DEFAULT[:5]), ([replace(one, arch="maxpool") for one in BETTER], DEFAULT)]
)
def test_five_pairs_and_different_networks_are_not_paired(runs: list[RunResult], others: list[RunResult]) -> None:
    """Five pairs cannot be significant, and the same seed does not make two networks alike."""
    first, second = ([one.accuracy for one in own] for own in (runs, others))
    assert difference(runs, others) == permutation_test(first, second)


def test_fresh_seeds_train_on_all_images_and_read_the_test_set_once() -> None:
    given: Overrides = (("epochs", "3"), ("data.val_size", "500"), ("trainer.limit_val_batches", "2"), ("lr", "0.1"))
    expected = (("epochs", "3"), ("lr", "0.1"), ("data.val_size", "0"), ("trainer.limit_val_batches", "0"))
    assert on_all_images(given, **TEST_ONCE) == expected


def test_importances_of_few_trials_come_with_a_warning(workspace: Path) -> None:
    worker = search(pruner="none")
    notes = {}
    for count in range(1, ENOUGH_FOR_IMPORTANCE + 1):
        run_next(worker)
        importance = importance_of(worker.study)
        if count == 1:
            assert importance == {}
        else:
            assert sum(importance.values()) == pytest.approx(1)
            notes[count] = importance_table(importance, worker.trials()).notes[-1]
    assert "These are 19: with fewer than 20, importances are mostly chance." in notes[19]
    assert "mostly chance" not in notes[20]
    assert importance["lr"] > importance["batch_size"]


def test_the_winners_config_holds_no_images_out(workspace: Path) -> None:
    worker = search("some/where")
    run_next(worker)
    params = worker.trials()[0].params
    chosen = f"--lr={params['lr']:.4g} --batch_size={params['batch_size']}"
    command = f"python scripts/fit.py --arch mlp --epochs=3 {chosen} --print_config > configs/some-where.yaml"
    assert winner(worker.config, worker.trials()) == command


def test_a_network_that_takes_no_arguments_wins_without_those_of_the_others(workspace: Path) -> None:
    worker = search(archs=("mlp", "own.Net"), space=space.parse("network.hidden=16..64,lr=0.1..0.2"))
    while not best_first(worker.trials()):
        trial = next_of(worker)
        if trial.arch == "mlp":
            write_run(trial, [0.9, 0.9, 0.9])
        worker.tell(trial, int(trial.arch != "mlp"))
    assert "network.hidden" not in winner(worker.config, worker.trials())
    assert "hidden" not in best_table(worker.config, worker.trials()).rows[0][-1]


def test_the_status_counts_trials_without_a_result(workspace: Path) -> None:
    worker = search()
    worker.tell(next_of(worker), 1)
    assert status_line(worker) == "1 failed"


def test_a_trial_that_is_killed_again_and_again_is_named_with_its_log(workspace: Path) -> None:
    worker = search()
    trial = next_of(worker)
    for _ in range(MOST_KILLS):
        worker.tell(trial, -9)
    with pytest.raises(UserError, match="killed again and again: s/trial_0; see lightning_logs/s/logs; the same comm"):
        finish(worker, Namespace())


@pytest.mark.slow
def test_the_report_has_every_trial(varied: SearchWorker) -> None:
    report(varied.config, varied.study, confirmed())
    numbers = json.loads((LOGS / "s" / "search.json").read_text())
    ends = [one["ended"] for one in numbers["trials"]]
    assert ends == ["complete"] * 5 + ["pruned", "collapsed", "failed"]
    assert numbers["trials"][6]["epochs"] == {"1": 0.9, "2": 0.1}
    assert numbers["confirmed"][0]["optimism"] == pytest.approx(0.0165)
    text = (LOGS / "s" / "search.md").read_text()
    assert "## The best settings with fresh seeds" in text
    assert "--print_config > configs/s.yaml" in text


def test_the_figure_has_the_numbers_of_the_tables(varied: SearchWorker) -> None:
    importance = importance_of(varied.study)
    figure = search_figure(points_of(varied.trials()), varied.config.dimensions(), importance)
    history, shares, *slices = figure.axes
    best = float(best_table(varied.config, varied.trials()).rows[0][1])
    (course,) = history.lines
    assert np.asarray(course.get_ydata())[-1] == pytest.approx(100 - best, abs=0.005)
    names = [label.get_text() for label in shares.get_yticklabels()]
    (bars,) = shares.containers
    assert isinstance(bars, BarContainer)
    widths = [[name, f"{bar.get_width():.0f} %"] for name, bar in zip(names, bars.patches, strict=True)]
    assert widths[::-1] == importance_table(importance, varied.trials()).rows
    for panel in (history, *slices):
        shown = np.concatenate([np.asarray(dots.get_offsets()) for dots in panel.collections])
        assert len(shown) == 7  # all but the failed one, which has no accuracy


def test_the_numbers_at_an_axis_do_not_overlap(workspace: Path) -> None:
    worker = search(space=space.parse(space.DEFAULT))
    for _ in range(3):
        run_next(worker)
    figure = render(lambda: search_figure(points_of(worker.trials()), worker.config.dimensions(), {}))
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = sorted((label.get_window_extent() for label in axes.get_xticklabels()), key=lambda box: float(box.x0))
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes)), axes.get_title()


@pytest.mark.slow
def test_a_single_result_is_reported_without_importances(workspace: Path) -> None:
    worker = search(space=space.parse("lr=1e-4..1e-1:log,optimizer=adam|torch.optim.RAdam"))
    run_next(worker)
    report(worker.config, worker.study, [])
    assert "Importance" not in (LOGS / "s" / "search.md").read_text()
    assert (LOGS / "s" / "search.png").is_file()

"""What a search reports: its tables and its pictures, of trials that were not trained."""

import json
from argparse import Namespace
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from convblocks.comparison.verdicts import row_of
from convblocks.search.figure import search_figure
from convblocks.search.study import MOST_KILLS, Search, best_first
from matplotlib.container import BarContainer
from PIL import Image

from convblocks.comparison.statistics import permutation_test, sign_flip_test
from convblocks.comparison.trials import Settings
from convblocks.errors import UserError
from convblocks.figures.style import render
from convblocks.runs.directory import LOGS
from convblocks.search import space
from convblocks.search.confirm import Confirmed, difference, on_all_images
from convblocks.search.report import (
    ENOUGH_FOR_IMPORTANCE,
    best_table,
    conclusion,
    confirmed_table,
    importance_of,
    importance_table,
    report,
    winner,
)
from convblocks.search.search import conclude, standing
from tests.comparison.made_up import outcome
from tests.search import made_up
from tests.search.made_up import plan, run_next, search, write_run

DEFAULT = [outcome("mlp", seed, 0.95 + 0.001 * seed) for seed in range(1, 7)]
BETTER = [outcome("mlp", seed, 0.96 + 0.001 * seed) for seed in range(1, 7)]


def confirmed(seen: float = 0.98, better: float = 0.96, seeds: int = 6) -> list[Confirmed]:
    runs = [outcome("mlp", seed, better + 0.001 * seed, (("lr", "0.01"),)) for seed in range(1, seeds + 1)]
    default = DEFAULT[:seeds]
    best = Confirmed("trial_3", seen, row_of(runs), difference(runs, default))
    return [best, Confirmed("default", None, row_of(default), None)]


@pytest.fixture
def varied(workspace: Path) -> Search:
    return made_up.varied()


def test_the_best_trials_come_first_with_what_was_chosen(varied: Search) -> None:
    table = best_table(varied.plan, varied.trials())
    accuracies = [float(row[1]) for row in table.rows]
    assert accuracies == sorted(accuracies, reverse=True)
    number = int(table.rows[0][0].removeprefix("trial_"))
    params = varied.trials()[number].params
    assert table.rows[0][2:] == ["mlp", f"lr {params['lr']:.4g}, batch_size {params['batch_size']}"]
    counts = "8 trials: 5 complete, 1 pruned, 1 collapsed, 1 failed"
    assert table.notes == [f"{counts}. Sampler tpe, seed 0, pruner median."]


def test_no_more_than_ten_are_shown(workspace: Path) -> None:
    one = search(pruner="none")
    for _ in range(12):
        run_next(one, 12)
    assert len(best_table(one.plan, one.trials()).rows) == 10


def test_what_the_search_saw_stands_beside_what_fresh_seeds_give() -> None:
    table = confirmed_table(plan(), confirmed())
    assert table.rows[0][:4] == ["trial_3", "mlp", "98.00", "6/6"]
    assert table.rows[0][5].startswith("+1.00 [")
    assert table.rows[0][-1] == "+1.65"  # 98 - 96.35
    assert table.rows[1] == ["default", "mlp", "-", "6/6", table.rows[1][4], "-", "-", "-"]


@pytest.mark.parametrize(
    ("better", "says"),
    [
        (
            0.96,
            "98.00 % in the search, 96.35 % on the test set with fresh seeds. It is better than the default by 1.00",
        ),
        (0.94, "It is worse than the default by 1.00 points"),
        (0.95, "That it differs from the default is not certain (by 0.00 points, p = 1.00)"),
    ],
)
def test_a_reader_is_told_what_to_believe(better: float, says: str) -> None:
    assert says in conclusion(confirmed(better=better)[0])


def test_a_setting_that_never_trains_again_was_luck() -> None:
    collapsed = [outcome("mlp", seed, 0.1135) for seed in (1, 2)]
    one = Confirmed("trial_3", 0.98, row_of(collapsed), difference(collapsed, DEFAULT))
    assert conclusion(one) == "trial_3 did not train with any of 2 fresh seeds: its accuracy in the search was luck."


def test_runs_of_one_network_are_paired_by_seed_where_there_are_enough() -> None:
    steps = [first.accuracy - second.accuracy for first, second in zip(BETTER, DEFAULT, strict=True)]
    assert difference(BETTER, DEFAULT) == sign_flip_test(steps)


def test_five_pairs_can_decide_nothing_and_are_not_paired() -> None:
    first, second = ([one.accuracy for one in runs[:5]] for runs in (BETTER, DEFAULT))
    assert difference(BETTER[:5], DEFAULT[:5]) == permutation_test(first, second)


def test_a_seed_makes_two_networks_no_more_alike() -> None:
    other = [replace(one, arch="maxpool") for one in BETTER]
    first, second = ([one.accuracy for one in runs] for runs in (other, DEFAULT))
    assert difference(other, DEFAULT) == permutation_test(first, second)


def test_for_fresh_seeds_no_images_are_held_out_and_the_test_set_is_read_at_the_end() -> None:
    given: Settings = (("epochs", "3"), ("data.val_size", "500"), ("trainer.limit_val_batches", "2"), ("lr", "0.1"))
    expected = (("epochs", "3"), ("lr", "0.1"), ("data.val_size", "0"), ("trainer.limit_val_batches", "0"))
    assert on_all_images(given) == expected


def test_importances_come_with_a_warning_where_trials_are_few(workspace: Path) -> None:
    one = search(pruner="none")
    notes = {}
    for count in range(1, ENOUGH_FOR_IMPORTANCE + 1):
        run_next(one, count)
        importance = importance_of(one.study)
        if count == 1:
            assert importance == {}
        else:
            assert sum(importance.values()) == pytest.approx(1)
            notes[count] = importance_table(importance, one.trials()).notes[-1]
    assert "These are 19: with fewer than 20, importances are mostly chance." in notes[19]
    assert "mostly chance" not in notes[20]
    assert importance["lr"] > importance["batch_size"]


def test_the_winner_is_written_without_the_images_that_were_held_out(workspace: Path) -> None:
    one = search("some/where")
    run_next(one, 1)
    params = one.trials()[0].params
    chosen = f"--lr={params['lr']:.4g} --batch_size={params['batch_size']}"
    command = f"python scripts/fit.py --arch mlp --epochs=3 {chosen} --print_config > configs/some-where.yaml"
    assert winner(one.plan, one.trials()) == command


def test_a_network_that_takes_no_arguments_wins_without_those_of_the_others(workspace: Path) -> None:
    one = search(archs=("mlp", "own.Net"), space=space.parse("network.hidden=16..64,lr=0.1..0.2"))
    while not best_first(one.trials()):
        trial = one.take(100)
        assert trial
        if trial.arch == "mlp":
            write_run(trial, [0.9, 0.9, 0.9])
        one.conclude(trial, int(trial.arch != "mlp"))
    assert "network.hidden" not in winner(one.plan, one.trials())
    assert "hidden" not in best_table(one.plan, one.trials()).rows[0][-1]


def test_where_all_failed_that_is_what_is_said(workspace: Path) -> None:
    one = search()
    trial = one.take(1)
    assert trial
    one.conclude(trial, 1)
    assert standing(one) == "1 failed"


def test_a_trial_that_is_killed_again_and_again_is_named_with_the_place_of_its_log(workspace: Path) -> None:
    one = search()
    trial = one.take(1)
    assert trial
    for _ in range(MOST_KILLS):
        one.conclude(trial, -9)
    with pytest.raises(UserError, match="killed again and again: s/trial_0; see lightning_logs/s/logs; the same comm"):
        conclude(one, Namespace())


@pytest.mark.slow
def test_the_report_tells_of_every_trial(varied: Search) -> None:
    report(varied.plan, varied.study, confirmed())
    numbers = json.loads((LOGS / "s" / "search.json").read_text())
    ends = [one["ended"] for one in numbers["trials"]]
    assert ends == ["complete"] * 5 + ["pruned", "collapsed", "failed"]
    assert numbers["trials"][6]["epochs"] == {"1": 0.9, "2": 0.1}
    assert numbers["confirmed"][0]["optimism"] == pytest.approx(0.0165)
    text = (LOGS / "s" / "search.md").read_text()
    assert "## The best settings with fresh seeds" in text
    assert "--print_config > configs/s.yaml" in text


@pytest.mark.slow
def test_the_picture_is_there_in_both_themes(varied: Search) -> None:
    report(varied.plan, varied.study, [])
    light, dark = (np.asarray(Image.open(LOGS / "s" / name).convert("L")) for name in ("search.png", "search-dark.png"))
    assert light.shape == dark.shape
    assert light.mean() > 200
    assert dark.mean() < 60


def test_the_picture_has_the_numbers_of_the_tables(varied: Search) -> None:
    importance = importance_of(varied.study)
    figure = search_figure(varied.trials(), varied.plan.dimensions(), importance)
    history, shares, *slices = figure.axes
    best = float(best_table(varied.plan, varied.trials()).rows[0][1])
    (course,) = history.lines
    assert np.asarray(course.get_ydata())[-1] == pytest.approx(100 - best, abs=0.005)
    names = [label.get_text() for label in shares.get_yticklabels()]
    (bars,) = shares.containers
    assert isinstance(bars, BarContainer)
    widths = [[name, f"{bar.get_width():.0f} %"] for name, bar in zip(names, bars.patches, strict=True)]
    assert widths[::-1] == importance_table(importance, varied.trials()).rows
    for panel in (history, *slices):
        shown = np.concatenate([np.asarray(dots.get_offsets()) for dots in panel.collections])
        assert len(shown) == 7  # all but the one that failed, which has no accuracy


def test_the_numbers_at_an_axis_do_not_run_into_each_other(workspace: Path) -> None:
    one = search(space=space.parse(space.DEFAULT))
    for _ in range(3):
        run_next(one, 3)
    figure = render(lambda: search_figure(one.trials(), one.plan.dimensions(), {}))
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = sorted((label.get_window_extent() for label in axes.get_xticklabels()), key=lambda box: float(box.x0))
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes)), axes.get_title()


@pytest.mark.slow
def test_without_two_results_there_is_a_picture_all_the_same(workspace: Path) -> None:
    """Nothing can be said of importance then."""
    one = search(space=space.parse("lr=1e-4..1e-1:log,optimizer=adam|torch.optim.RAdam"))
    run_next(one, 1)
    report(one.plan, one.study, [])
    assert "Importance" not in (LOGS / "s" / "search.md").read_text()

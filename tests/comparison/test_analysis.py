"""The statistics of runs, over all of them and over those that trained."""

import math

import pytest

from convblocks.comparison.analysis import Difference, compare, summarise
from convblocks.estimates import SHARE
from tests.comparison.made_up import COURSES, PARAMETERS, as_claimed, course, result, short


def of(measure: str, differences: tuple[Difference, ...]) -> list[Difference]:
    """The differences from the MLP in a measure: batchnorm's, then maxpool's."""
    return [one for one in differences if one.measure == measure and one.second == "mlp"]


def test_no_mean_counts_a_collapsed_run() -> None:
    arm = summarise([short("maxpool", 0, 0.1), short("maxpool", 1, 0.97), short("maxpool", 2, 0.98)])
    assert arm.accuracy is not None
    assert (arm.accuracy.n, arm.trained_runs, arm.runs) == (2, 2, 3)
    assert arm.accuracy.value == pytest.approx(0.975)
    assert (arm.worst, arm.best, arm.collapsed_at) == (0.97, 0.98, (0.1,))


def test_collapsed_runs_count_over_all_runs_only() -> None:
    batchnorm, maxpool = of("accuracy", compare(as_claimed(8, collapsed=3)).differences)
    assert (maxpool.all_runs.value, batchnorm.all_runs.value) == (0.625, 1.0)
    assert (maxpool.runs, maxpool.trained_runs) == ((8, 8), (5, 8))


def test_without_trained_runs_there_is_no_mean_and_no_difference() -> None:
    comparison = compare([short(arch, seed, 0.1) for arch in PARAMETERS for seed in range(6)])
    assert [arm.accuracy for arm in comparison.arms] == [None] * 3
    assert {one.trained for one in comparison.differences} == {None}


def test_networks_are_not_paired_by_seed_and_may_lack_a_run() -> None:
    runs = [one for one in as_claimed(7) if (one.arch, one.seed) != ("mlp", 4)]
    comparison = compare(runs)
    sizes = {(one.first, one.second): one.runs for one in comparison.of_accuracy()}
    assert sizes == {("batchnorm", "maxpool"): (7, 7), ("batchnorm", "mlp"): (7, 6), ("maxpool", "mlp"): (7, 6)}
    shuffled = [short(one.arch, 6 - one.seed, one.accuracy, one.last_loss) for one in runs]
    assert compare(shuffled).differences == comparison.differences


def test_a_diverged_run_has_no_loss_and_counts_as_the_worst() -> None:
    lost = [short("mlp", seed, 0.098, loss=math.nan) for seed in range(3)]
    comparison = compare([*lost, *as_claimed(8)[3:]])
    losses = of("last_loss", comparison.differences)
    assert [one.trained_runs for one in losses] == [(8, 5), (8, 5)]
    assert [one.all_runs.value for one in losses] == [1.0, 1.0]
    assert comparison.arms[0].diverged == 3


def test_with_a_schedule_the_faster_network_reaches_98_percent_sooner() -> None:
    """The loss of the first epoch would depend on the warm-up. A run that never gets there is the slowest."""
    for courses, means in ((COURSES, [-10, -20]), (COURSES | {"mlp": course(0.9, 0.97)}, [None, None])):
        runs = [result(arch, 0, 0.97, epochs=epochs, lr_scheduler="onecycle") for arch, epochs in courses.items()]
        faster = of("seconds_to_goal", compare(runs).differences)
        assert [one.means and one.means.value for one in faster] == means
        if means == [None, None]:
            assert [(one.trained.value, one.trained.unit) for one in faster if one.trained] == [(1.0, SHARE)] * 2

"""The analysis of runs and of a grid, beyond the numbers in the expected reports of test_report.py."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product

import pytest

from convblocks.compare.analysis import analyse, compare, edges, summarise
from convblocks.compare.report import report_of
from convblocks.compare.statistics import mean_interval
from convblocks.figures.estimates import Unit
from convblocks.run.judge import Judge
from convblocks.run.result import RunResult
from convblocks.text import as_json
from tests.made_up import as_claimed, course, short

RATES = ("1e-3", "3e-3", "1e-2")
SCHEDULES = ("constant", "onecycle")

BEST = {"mlp": ("3e-3", "onecycle"), "maxpool": ("1e-3", "constant")}


def grid(archs: Iterable[str], best: Mapping[str, tuple[str, str]] = BEST, seeds: int = 5) -> list[RunResult]:
    """Runs at every learning rate and schedule: validation is best at the given ones, the test set elsewhere.

    Without ``best`` there are no validation images.
    """
    return [
        short(
            arch,
            seed,
            accuracy=0.97 - 0.01 * (arch == "mlp") + 0.001 * RATES.index(rate) + 0.0001 * (seed * 3 % 5),
            overrides=(("lr", rate), ("lr_scheduler", schedule)),
            validation=(0.98 if best[arch] == (rate, schedule) else 0.95) if best else None,
        )
        for rate, schedule, arch, seed in product(RATES, SCHEDULES, archs, range(seeds))
    ]


def test_networks_are_not_paired_by_seed_and_may_lack_a_run() -> None:
    runs = [one for one in as_claimed(7) if (one.arch, one.seed) != ("mlp", 4)]
    comparison = compare(runs)
    assert [one.runs for one in comparison.differences] == [(7, 7), (7, 6), (7, 6)]
    shuffled = [short(one.arch, 6 - one.seed, one.score, one.last_loss) for one in runs]
    assert compare(shuffled).differences == comparison.differences


@pytest.mark.parametrize(("best", "beyond"), [("1e-3", "below"), ("1e-2", "above"), ("3e-3", None)])
def test_a_best_value_at_the_edge_of_the_grid_is_reported(best: str, beyond: str | None) -> None:
    """In whatever order the rates were given; the schedules are not numbers, and have no edge."""
    runs = grid(BEST, BEST | {"maxpool": (best, "constant")})
    shuffled = sorted(runs, key=lambda one: RATES.index(dict(one.overrides)["lr"]) % 2)
    expected = [f"maxpool (lr {best}, look {beyond})"] if beyond else []
    assert edges(analyse(runs)) == edges(analyse(shuffled)) == expected
    assert analyse(shuffled).swept["lr"] == list(RATES)


def test_the_numbers_do_not_depend_on_the_time_of_day() -> None:
    def numbers(seconds: float) -> str:
        return as_json(report_of(analyse(as_claimed(3, epochs=course(0.97, 0.985, seconds=seconds)))).plain_numbers())

    assert numbers(seconds=1.0) == numbers(seconds=99.0)
    assert "seconds" not in numbers(1.0)


def test_intervals_do_not_leave_the_range_of_their_metric() -> None:
    """Of accuracies and shares 0 to 1, and losses are not negative; others may be anything."""
    runs = [replace(run, judge=Judge("val/iou", "max")) for run in as_claimed(2)]
    shares, losses = (
        [replace(run, final={"test/iou": value}) for run, value in zip(runs, values, strict=False)]
        for values in ((0.8, 1.0), (0.01, 0.5))
    )
    assert summarise(shares).score == mean_interval([0.8, 1.0], Unit(digits=3, least=0, most=1))
    score = summarise([replace(run, judge=Judge("val/iou", "min")) for run in losses]).score
    assert score
    assert (score.low, score.high > 1) == (0, True)
    rewards = summarise([replace(run, final={"test/iou": value}) for run, value in zip(runs, (-1, 3), strict=False)])
    assert rewards.score
    assert rewards.score.low < -1


def test_of_many_networks_the_best_and_the_first_are_compared() -> None:
    """With p corrected for the pairs of all of them."""
    runs = [
        short(f"n{arm}", seed, accuracy=0.9 + 0.001 * arm + 0.0001 * seed) for arm in range(20) for seed in range(4)
    ]
    found = compare(runs)
    assert found.compared == ("n0", *(f"n{arm}" for arm in range(10, 20)))
    assert (len(found.arms), len(found.differences), found.pairs) == (20, 55, 190)
    least = 2 / 70
    assert all(pair.adjusted_trained == min(1, 190 * least) for pair in found.differences)
    assert [bool(arm.against) for arm in found.arms] == [False] * 10 + [True] * 10
    sentence = "Of 20 networks 11 are drawn and compared, the best and n0; p is corrected for all 190 pairs."
    assert sentence in report_of(analyse(runs)).sentences

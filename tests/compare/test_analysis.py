"""The analysis of runs and of a grid, beyond the numbers in the expected reports of test_report.py."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product

import pytest

from convblocks.compare.analysis import compare, edges, option_values, summarise, training_loss
from convblocks.compare.report import report_of
from convblocks.compare.statistics import mean_interval
from convblocks.errors import UserError
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


def test_comparison_pairs_no_networks_by_seed_and_may_lack_a_run() -> None:
    runs = [run for run in as_claimed(7) if (run.arch, run.seed) != ("mlp", 4)]
    comparison = compare(runs)
    assert [difference.runs for difference in comparison.differences] == [(7, 7), (7, 6), (7, 6)]
    shuffled = [short(run.arch, 6 - run.seed, run.score, training_loss(run, -1)) for run in runs]
    assert compare(shuffled).differences == comparison.differences


def test_comparison_has_a_limited_number_of_networks() -> None:
    with pytest.raises(UserError, match="21 networks cannot be compared with each other at once: 20 can"):
        compare([short(f"n{arm}", 0, accuracy=0.9) for arm in range(21)])


@pytest.mark.parametrize(("best", "beyond"), [("1e-3", "below"), ("1e-2", "above"), ("3e-3", None)])
def test_grid_reports_a_best_value_at_its_edge(best: str, beyond: str | None) -> None:
    """In whatever order the rates were given; the schedules are not numbers, and have no edge."""
    runs = grid(BEST, BEST | {"maxpool": (best, "constant")})
    shuffled = sorted(runs, key=lambda run: RATES.index(dict(run.overrides)["lr"]) % 2)
    expected = [f"maxpool (lr {best}, look {beyond})"] if beyond else []
    assert edges(runs) == edges(shuffled) == expected
    assert option_values(shuffled)["lr"] == list(RATES)


def test_report_has_no_numbers_of_the_time_of_day() -> None:
    def numbers(seconds: float) -> str:
        return as_json(report_of(as_claimed(3, epochs=course(0.97, 0.985, seconds=seconds))).plain_numbers())

    assert numbers(seconds=1.0) == numbers(seconds=99.0)
    assert "seconds" not in numbers(1.0)


def test_summary_has_no_interval_beyond_the_range_of_its_metric() -> None:
    """Of accuracies and shares 0 to 1, and losses are not negative; others may be anything."""
    shares, losses, rewards = (
        [
            replace(run, judge=judge, final={"test/iou": value})
            for run, value in zip(as_claimed(2), values, strict=False)
        ]
        for judge, values in (
            (Judge("val/iou", "max"), (0.8, 1.0)),
            (Judge("val/iou", "min"), (0.01, 0.5)),
            (Judge("val/iou", "max"), (-1, 3)),
        )
    )
    assert summarise(shares).score == mean_interval([0.8, 1.0], Unit(digits=3, least=0, most=1))
    loss, reward = summarise(losses).score, summarise(rewards).score
    assert loss
    assert reward
    assert (loss.low, loss.high > 1, reward.low < -1) == (0, True, True)

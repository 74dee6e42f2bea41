"""The analysis of runs and of a grid, beyond the numbers in the expected reports of test_report.py."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from typing import Literal

import pytest

from convblocks.compare.analysis import compare, difference_of_means, summarise, unit_of
from convblocks.compare.grid import Edge, analyse, as_numbers
from convblocks.compare.statistics import permutation_test
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


def at(lr: str, accuracies: dict[int, float]) -> list[RunResult]:
    """Runs of the MLP at a learning rate, with these accuracies by seed."""
    return [short("mlp", seed, accuracy, overrides=(("lr", lr),)) for seed, accuracy in accuracies.items()]


def test_networks_are_not_paired_by_seed_and_may_lack_a_run() -> None:
    runs = [one for one in as_claimed(7) if (one.arch, one.seed) != ("mlp", 4)]
    comparison = compare(runs)
    assert [one.runs for one in comparison.of_score()] == [(7, 7), (7, 6), (7, 6)]
    shuffled = [short(one.arch, 6 - one.seed, one.score, one.last_loss) for one in runs]
    assert compare(shuffled).differences == comparison.differences


@pytest.mark.parametrize(("best", "beyond"), [("1e-3", "below"), ("1e-2", "above"), ("3e-3", None)])
def test_a_best_value_at_the_edge_of_the_grid_is_reported(best: str, beyond: str | None) -> None:
    """In whatever order the rates were given; the schedules are not numbers, and have no edge."""
    runs = grid(BEST, BEST | {"maxpool": (best, "constant")})
    shuffled = sorted(runs, key=lambda one: RATES.index(dict(one.overrides)["lr"]) % 2)
    expected = (Edge("maxpool", "lr", best, beyond),) if beyond else ()  # type: ignore[arg-type]  # one of the two
    assert analyse(runs).edges == analyse(shuffled).edges == expected
    assert analyse(shuffled).swept["lr"] == RATES


def test_a_difference_of_means_is_of_the_runs_that_trained() -> None:
    first, second = at("1", {0: 0.95, 1: 0.96}), at("2", {0: 0.97, 1: 0.1, 3: 0.98})
    assert difference_of_means(first, second) == permutation_test([0.95, 0.96], [0.97, 0.98])
    assert difference_of_means(first, second[1:2]) is None
    assert difference_of_means([], second) is None


@pytest.mark.parametrize(
    ("direction", "scores", "least", "most"),
    [
        ("max", [0.8, 0.99], 0, 1),
        ("max", [0.8, 12.0], -math.inf, math.inf),
        ("max", [-0.1, 0.5], -math.inf, math.inf),
        ("min", [0.1, 12.0], 0, math.inf),
        ("min", [-0.1, 0.5], -math.inf, math.inf),
    ],
)
def test_an_interval_does_not_leave_the_range_of_its_metric(
    direction: Literal["max", "min"], scores: list[float], least: float, most: float
) -> None:
    """A reader once found an accuracy of [0.8150, 1.0033]."""
    judge = Judge("val/score", direction)
    runs = [short("mlp", seed, one, judge=judge, final={"val/score": one}) for seed, one in enumerate(scores)]
    found = summarise([replace(run, failed=False) for run in runs]).score
    assert found
    assert (found.unit.least, found.unit.most) == (least, most)
    assert least <= found.low < found.value < found.high <= most
    assert unit_of(runs, of_difference=True).least == -math.inf


def test_the_numbers_do_not_depend_on_the_time_of_day() -> None:
    """Neither do they hold the time to 98 %, by which these networks are compared."""

    def numbers(seconds: float) -> str:
        epochs = course(0.97, 0.985, seconds=seconds)
        return as_json(as_numbers(analyse(as_claimed(3, hparams={"lr_scheduler": "onecycle"}, epochs=epochs))))

    assert numbers(seconds=1.0) == numbers(seconds=99.0)
    assert "seconds" not in numbers(1.0)

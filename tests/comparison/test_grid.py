"""The analysis of a grid."""

from collections.abc import Iterable, Mapping
from itertools import product

import pytest

from convblocks.comparison.grid import Edge, Pair, analyse, as_numbers
from convblocks.comparison.statistics import sign_flip_test
from convblocks.runs.result import RunResult
from convblocks.tables import as_json
from tests.comparison.made_up import as_claimed, course, short

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


def test_one_setting_is_one_comparison() -> None:
    analysis = analyse(as_claimed(3))
    assert analysis.main is not None
    assert (analysis.swept, analysis.at_settings, analysis.edges, analysis.pairs) == ({}, {}, (), ())
    assert analysis.main.results == tuple(as_claimed(3))


def test_each_network_is_compared_at_the_setting_that_is_best_on_validation_images() -> None:
    """The test accuracies are best at other settings. Fresh runs replace the chosen ones, not the choice."""
    analysis = analyse(grid(BEST))
    assert analysis.main is not None
    found = [(dict(arm.overrides)["lr"], dict(arm.overrides)["lr_scheduler"]) for arm in analysis.main.arms]
    assert found == list(BEST.values())
    assert len(analysis.main.results) == 2 * 5
    assert len(analysis.at_settings) == 6
    fresh = [short(arch, 5, 0.9, overrides=(("lr", "3e-3"),)) for arch in BEST]
    confirmed = analyse(grid(BEST), fresh)
    assert confirmed.main is not None
    assert confirmed.confirmed == confirmed.main.results == tuple(fresh)
    assert confirmed.edges == analysis.edges


def test_without_validation_images_nothing_is_chosen() -> None:
    analysis = analyse(grid(BEST, best={}))
    assert (analysis.main, analysis.edges, len(analysis.at_settings)) == (None, (), 6)


@pytest.mark.parametrize(("best", "beyond"), [("1e-3", "below"), ("1e-2", "above"), ("3e-3", None)])
def test_a_best_value_at_the_edge_of_the_grid_is_reported(best: str, beyond: str | None) -> None:
    """In whatever order the rates were given; the schedules are not numbers, and have no edge."""
    runs = grid(BEST, BEST | {"maxpool": (best, "constant")})
    shuffled = sorted(runs, key=lambda one: RATES.index(dict(one.overrides)["lr"]) % 2)
    expected = (Edge("maxpool", "lr", best, beyond),) if beyond else ()  # type: ignore[arg-type]  # one of the two
    assert analyse(runs).edges == analyse(shuffled).edges == expected
    assert analyse(shuffled).swept["lr"] == RATES


def test_neighbouring_settings_of_one_network_are_paired_by_seed() -> None:
    """Three rates with two schedules have seven pairs of neighbours, for each network."""
    pairs = analyse(grid(["mlp"])).pairs
    assert len(pairs) == 7
    assert [dict(side)["lr"] for side in (pairs[1].first, pairs[1].second)] == ["1e-3", "3e-3"]
    assert pairs[1].difference == sign_flip_test([-0.001] * 5)


def test_pairs_are_of_the_seeds_that_trained_at_both_settings() -> None:
    first, second = at("1", {0: 0.95, 1: 0.95, 2: 0.95}), at("2", {0: 0.97, 1: 0.1, 3: 0.97})
    (pair,) = analyse([*first, *second]).pairs
    difference = sign_flip_test([0.95 - 0.97])
    assert pair == Pair("mlp", first[0].overrides, second[0].overrides, ("3/3", "2/3"), difference)
    assert [one.difference for one in analyse([*at("1", {1: 0.95}), *at("2", {2: 0.95})]).pairs] == [None]


def test_the_numbers_do_not_depend_on_the_time_of_day() -> None:
    """Neither do they hold the time to 98 %, by which these networks are compared."""

    def numbers(seconds: float) -> str:
        epochs = course(0.97, 0.985, seconds=seconds)
        return as_json(as_numbers(analyse(as_claimed(3, lr_scheduler="onecycle", epochs=epochs))))

    assert numbers(seconds=1.0) == numbers(seconds=99.0)
    assert "seconds" not in numbers(1.0)

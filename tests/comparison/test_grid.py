"""The analysis of a grid."""

from itertools import product

import pytest

from convblocks.comparison.grid import Edge, Pair, analyse, as_numbers
from convblocks.comparison.statistics import sign_flip_test
from convblocks.runs.result import RunResult
from convblocks.tables import as_json
from tests.comparison.made_up import as_claimed, course, short

RATES = ("1e-3", "3e-3", "1e-2")
SCHEDULES = ("constant", "onecycle")


def grid(best: dict[str, tuple[str, str]], seeds: int = 5, validated: bool = True) -> list[RunResult]:
    """Runs at every learning rate and schedule: validation is best at the given ones, the test set elsewhere."""
    return [
        short(
            arch,
            seed,
            accuracy=0.97 + 0.001 * RATES.index(rate) + 0.0001 * (seed * 3 % 5),
            overrides=(("lr", rate), ("lr_scheduler", schedule)),
            validation=(0.98 if best[arch] == (rate, schedule) else 0.95) if validated else None,
        )
        for rate, schedule, arch, seed in product(RATES, SCHEDULES, best, range(seeds))
    ]


def at(lr: str, accuracies: dict[int, float]) -> list[RunResult]:
    """Runs of the MLP at a learning rate, with these accuracies by seed."""
    return [short("mlp", seed, accuracy, overrides=(("lr", lr),)) for seed, accuracy in accuracies.items()]


BEST = {"mlp": ("3e-3", "onecycle"), "maxpool": ("1e-3", "constant")}


def test_one_setting_is_one_comparison() -> None:
    analysis = analyse(as_claimed(3))
    assert analysis.main is not None
    assert (analysis.swept, analysis.at_settings, analysis.edges, analysis.pairs) == ({}, {}, (), ())
    assert analysis.main.results == tuple(as_claimed(3))


def test_each_network_is_compared_at_its_own_best_setting() -> None:
    """By validation images alone: the test accuracies are best at other settings."""
    analysis = analyse(grid(BEST))
    assert analysis.main is not None
    assert [dict(arm.overrides)["lr"] for arm in analysis.main.arms] == ["3e-3", "1e-3"]
    assert [dict(arm.overrides)["lr_scheduler"] for arm in analysis.main.arms] == ["onecycle", "constant"]
    assert len(analysis.main.results) == 2 * 5
    assert len(analysis.at_settings) == 6


def test_runs_with_fresh_seeds_are_compared_instead_of_those_that_were_chosen() -> None:
    fresh = [short(arch, 5, 0.9, overrides=(("lr", "3e-3"),)) for arch in BEST]
    analysis = analyse(grid(BEST), fresh)
    assert analysis.main is not None
    assert analysis.confirmed == analysis.main.results == tuple(fresh)
    assert analysis.edges == analyse(grid(BEST)).edges


def test_without_validation_images_nothing_is_chosen() -> None:
    analysis = analyse(grid(BEST, validated=False))
    assert (analysis.main, analysis.edges) == (None, ())
    assert len(analysis.at_settings) == 6


@pytest.mark.parametrize(("best", "beyond"), [("1e-3", "below"), ("1e-2", "above")])
def test_a_best_value_at_the_edge_of_the_grid_is_reported(best: str, beyond: str) -> None:
    """The schedules are not numbers, and have no edge."""
    edges = analyse(grid(BEST | {"maxpool": (best, "constant")})).edges
    assert edges == (Edge("maxpool", "lr", best, beyond),)  # type: ignore[arg-type]  # one of the two


def test_the_edge_is_that_of_the_numbers_in_any_order() -> None:
    shuffled = sorted(grid(BEST), key=lambda one: RATES.index(dict(one.overrides)["lr"]) % 2)
    assert analyse(shuffled).swept["lr"] == RATES
    assert analyse(shuffled).edges == analyse(grid(BEST)).edges


def test_neighbouring_settings_of_one_network_are_paired_by_seed() -> None:
    """Three rates with two schedules have seven pairs of neighbours, for each network."""
    pairs = analyse(grid({"mlp": ("1e-3", "constant")})).pairs
    assert len(pairs) == 7
    assert [dict(side)["lr"] for side in (pairs[1].first, pairs[1].second)] == ["1e-3", "3e-3"]
    assert pairs[1].difference == sign_flip_test([-0.001] * 5)


def test_pairs_are_of_the_seeds_that_trained_at_both_settings() -> None:
    first, second = at("1", {0: 0.95, 1: 0.95, 2: 0.95}), at("2", {0: 0.97, 1: 0.1, 3: 0.97})
    (pair,) = analyse([*first, *second]).pairs
    difference = sign_flip_test([0.95 - 0.97])
    assert pair == Pair("mlp", first[0].overrides, second[0].overrides, ("3/3", "2/3"), difference)


def test_settings_without_a_common_seed_are_not_tested() -> None:
    assert [pair.difference for pair in analyse([*at("1", {1: 0.95}), *at("2", {2: 0.95})]).pairs] == [None]


@pytest.mark.parametrize("seconds", [1.0, 99.0])
def test_the_numbers_do_not_depend_on_the_time_of_day(seconds: float) -> None:
    slower = [
        short(
            one.arch,
            one.seed,
            one.accuracy,
            epochs=course(one.accuracy, one.accuracy, loss=one.last_loss, seconds=seconds),
        )
        for one in as_claimed(3)
    ]
    assert as_json(as_numbers(analyse(slower))) == as_json(as_numbers(analyse(as_claimed(3))))

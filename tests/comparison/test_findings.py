"""What is found in the runs of a grid."""

from itertools import product

import pytest
from convblocks.comparison.findings import Edge, Pair, as_numbers, compared, find
from convblocks.comparison.outcomes import RunResult

from convblocks.comparison.statistics import sign_flip_test
from convblocks.tables import as_json
from tests.comparison.test_verdicts import outcome, runs

RATES = ("1e-3", "3e-3", "1e-2")
SCHEDULES = ("constant", "onecycle")


def grid(best: dict[str, tuple[str, str]], seeds: int = 5, validated: bool = True) -> list[RunResult]:
    """Runs at every learning rate and schedule; validation is best where told, and the test set best elsewhere."""
    return [
        outcome(
            arch,
            seed,
            accuracy=0.97 + 0.001 * RATES.index(rate) + 0.0001 * (seed * 3 % 5),
            settings=(("epochs", "5"), ("lr", rate), ("lr_scheduler", schedule)),
            validation=(0.98 if best[arch] == (rate, schedule) else 0.95) if validated else None,
        )
        for rate, schedule, arch, seed in product(RATES, SCHEDULES, best, range(seeds))
    ]


BEST = {"mlp": ("3e-3", "onecycle"), "maxpool": ("1e-3", "constant")}


def test_one_setting_is_one_comparison() -> None:
    found = find(runs(3))
    assert found.main is not None
    assert (found.swept, found.at_settings, found.edges, found.pairs) == ({}, {}, (), ())
    assert compared(found) == runs(3)


def test_each_network_is_compared_at_its_own_best_setting() -> None:
    found = find(grid(BEST))
    assert found.main is not None
    assert [dict(row.settings)["lr"] for row in found.main.rows] == ["3e-3", "1e-3"]
    assert len(compared(found)) == 2 * 5
    assert len(found.at_settings) == 6


def test_without_validation_images_nothing_is_chosen() -> None:
    found = find(grid(BEST, validated=False))
    assert (found.main, found.edges, compared(found)) == (None, (), [])
    assert len(found.at_settings) == 6


def test_a_best_value_at_the_edge_of_the_grid_is_told() -> None:
    """The schedules are no numbers, and have no edge."""
    assert find(grid(BEST)).edges == (Edge("maxpool", "lr", "1e-3", "below"),)
    above = BEST | {"maxpool": ("1e-2", "constant")}
    assert find(grid(above)).edges == (Edge("maxpool", "lr", "1e-2", "above"),)


def test_the_edge_is_that_of_the_numbers_whatever_their_order() -> None:
    shuffled = sorted(grid(BEST), key=lambda one: RATES.index(dict(one.settings)["lr"]) % 2)
    assert find(shuffled).swept["lr"] == RATES
    assert find(shuffled).edges == find(grid(BEST)).edges


def test_neighbouring_settings_of_one_network_are_paired_by_seed() -> None:
    """Three rates with two schedules have seven pairs of neighbours, for each network."""
    found = find(grid({"mlp": ("1e-3", "constant")}))
    assert len(found.pairs) == 7
    pair = found.pairs[1]
    assert [dict(side)["lr"] for side in (pair.first, pair.second)] == ["1e-3", "3e-3"]
    assert pair.result == sign_flip_test([-0.001] * 5)


def test_pairs_are_of_the_seeds_that_trained_at_both_settings() -> None:
    swept = [outcome("mlp", seed, 0.95, settings=(("lr", "1"),)) for seed in (0, 1, 2)]
    swept += [outcome("mlp", seed, 0.1 if seed == 1 else 0.97, settings=(("lr", "2"),)) for seed in (0, 1, 3)]
    assert find(swept).pairs == (Pair("mlp", (("lr", "1"),), (("lr", "2"),), 2, sign_flip_test([0.95 - 0.97])),)


def test_settings_without_a_common_seed_are_not_tested() -> None:
    swept = [outcome("mlp", seed, 0.95, settings=(("lr", str(seed)),)) for seed in (1, 2)]
    assert [pair.result for pair in find(swept).pairs] == [None]


@pytest.mark.parametrize("seconds", [1.0, 99.0])
def test_the_numbers_do_not_depend_on_the_time_of_day(seconds: float) -> None:
    slower = [outcome(one.arch, one.seed, one.accuracy, one.last_loss, seconds=seconds) for one in runs(3)]
    assert as_json(as_numbers(find(slower))) == as_json(as_numbers(find(runs(3))))

"""Which runs the study needs, given those that are done."""

from itertools import product

import pytest

from convblocks.comparison.study.plan import (
    CONFIRMING_SEEDS,
    FIRST_RATES,
    MORE_SEEDS,
    RATES,
    SCHEDULES,
    SEEDS,
    Cell,
    Scores,
    chosen,
    to_choose,
)

ALL_CELLS = [Cell(rate, schedule) for rate, schedule in product(RATES, SCHEDULES)]


def scores(best: str, second: str = "1e-3", later: float = 0.0) -> Scores:
    """A score for every run that may be asked for: best at one rate of one cycle, a little less at another.

    With the further seeds the best one loses ``later``.
    """
    of_rate = {best: 0.99, second: 0.98}
    return {
        (cell, seed): (of_rate.get(cell.lr, 0.9) if cell.lr_scheduler == "onecycle" else 0.8)
        - (later if cell.lr == best and seed in MORE_SEEDS else 0.0)
        for cell, seed in product(ALL_CELLS, SEEDS + MORE_SEEDS)
    }


def test_it_begins_with_a_grid_of_two_seeds() -> None:
    first = to_choose({})
    assert set(first) == set(product([Cell(*one) for one in product(FIRST_RATES, SCHEDULES)], SEEDS))
    assert len(first) == 24


def test_nothing_more_is_asked_for_before_the_grid_is_done() -> None:
    known = scores(best="3e-3")
    unfinished = {run: known[run] for run in to_choose({})[:-1]}
    assert to_choose(unfinished) == to_choose({})
    assert chosen(unfinished) is None


def test_the_best_two_cells_get_further_seeds() -> None:
    known = scores(best="3e-3")
    more = to_choose(known)[24:]
    assert more == list(product([Cell("3e-3", "onecycle"), Cell("1e-3", "onecycle")], MORE_SEEDS))
    assert chosen(known) == Cell("3e-3", "onecycle")


def test_the_choice_is_by_all_seeds_of_the_finalists() -> None:
    assert chosen(scores(best="3e-3", later=0.05)) == Cell("1e-3", "onecycle")


@pytest.mark.parametrize(("best", "beyond"), [("3e-2", ["1e-1"]), ("1e-4", ["3e-5"]), ("1e-1", []), ("3e-3", [])])
def test_a_best_value_at_the_edge_extends_the_grid(best: str, beyond: list[str]) -> None:
    """A value outside the first grid is not asked for as long as none at the edge is the best."""
    rates = [
        cell.lr for cell in dict.fromkeys(cell for cell, _ in to_choose(scores(best))) if cell.lr not in FIRST_RATES
    ]
    assert rates == beyond


def test_the_grid_is_extended_until_the_best_is_inside() -> None:
    climbing = {
        (cell, seed): 0.5 + 0.01 * RATES.index(cell.lr) if cell.lr_scheduler == "onecycle" else 0.1
        for cell, seed in product(ALL_CELLS, SEEDS + MORE_SEEDS)
    }
    asked = {cell.lr for cell, _ in to_choose(climbing) if cell.lr_scheduler == "onecycle"}
    assert asked == set(RATES[4:])


def test_the_seeds_that_confirm_are_fresh() -> None:
    assert len(set(CONFIRMING_SEEDS)) == 12
    assert not set(CONFIRMING_SEEDS) & {*SEEDS, *MORE_SEEDS}

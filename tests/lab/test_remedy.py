"""When Gradient Centralization holds as a remedy by the protocol's rule, and when it does not."""

from dataclasses import replace

import pytest
from scipy import stats

from convblocks.record.result import RunResult
from lab.cause import AS_IS
from lab.remedy import DEAD_UNITS, REMEDY, by_length, gains_over_others, remedy
from tests.made_up import result

SEEDS = 40


def runs(
    collapsed: int = 8, still: int = 0, dead: float = 0.01, gain: float = 0.001
) -> list[RunResult]:
    """As it is, so many of the first runs collapse; with the remedy so many of the last."""
    found = []
    for seed in range(SEEDS):
        accuracy = 0.97 + seed % 7 / 10_000
        change = gain + seed % 3 / 10_000
        as_is = 0.1 if seed < collapsed else accuracy
        remedied = 0.1 if seed >= SEEDS - still else accuracy + change
        found += [run(AS_IS, seed, as_is, 0.9), run(REMEDY, seed, remedied, dead)]
    return found


def run(arm: str, seed: int, accuracy: float, dead: float, epochs: str = "5") -> RunResult:
    overrides = (("epochs", epochs), ("config", f"docs/data/remedy/{arm}.yaml"))
    made = result("blocks", seed, accuracy, overrides)
    return replace(made, final={**made.final, DEAD_UNITS: dead + seed / 1000})


def short(results: list[RunResult]) -> list[RunResult]:
    """The runs of 300 steps, which the rule does not look at."""
    return [run(AS_IS, one.seed, 0.9, 0.5, epochs="1") for one in results[::2]]


def found_of(results: list[RunResult]) -> object:
    return remedy([*results, *short(results)]).verdict


def test_remedy_holds_where_fewer_collapse_fewer_units_die_and_accuracy_stays() -> None:
    assert found_of(runs()) == "it holds"


@pytest.mark.parametrize(
    "results", [runs(still=8), runs(gain=-0.003)], ids=["as many collapse", "it costs accuracy"]
)
def test_remedy_does_not_hold(results: list[RunResult]) -> None:
    assert found_of(results) == "it does not hold"


@pytest.mark.parametrize(
    "results",
    [runs(collapsed=5), runs(dead=0.5), runs(gain=-0.0011)],
    ids=["too few collapse as they are", "half of the units die", "accuracy may fall"],
)
def test_remedy_is_undecided(results: list[RunResult]) -> None:
    assert found_of(results) == "undecided"


def test_collapses_and_dead_units_are_corrected_together() -> None:
    found = remedy([*runs(), *short(runs())])
    assert found.collapse_p == pytest.approx(2 * 0.5**8)
    assert found.dead.p == pytest.approx(2 * 2 * 0.5**SEEDS)
    assert found.collapsed == (8, 0)


def test_accuracy_is_compared_within_seeds_of_which_neither_run_collapsed() -> None:
    found = remedy([*runs(), *short(runs())]).gain
    differences = [0.001 + seed % 3 / 10_000 for seed in range(8, SEEDS)]
    wanted = stats.ttest_1samp(differences, 0)
    assert found.n == SEEDS - 8
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval()))
    assert found.p == pytest.approx(float(wanted.pvalue))


def test_other_remedies_are_compared_over_their_own_seeds() -> None:
    others = [run("warm-up", seed, 0.96, 0.1) for seed in range(20)]
    results = [*runs(), *others]
    found = gains_over_others([*results, *short(runs())])
    assert {name: one.n for name, one in found.items()} == {"warm-up": 20}
    assert found["warm-up"].low > 0


def test_runs_of_300_steps_stand_apart() -> None:
    lengths = by_length([*runs(), *short(runs())])
    assert {
        name: {arm: len(own) for arm, own in arms.items()} for name, arms in lengths.items()
    } == {"short": {AS_IS: SEEDS}, "long": {AS_IS: SEEDS, REMEDY: SEEDS}}

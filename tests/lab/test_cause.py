"""What the protocol of the cause predicts, what refutes it, and what is beside that."""

import numpy as np
import pytest

from convblocks.record.result import RunResult
from lab.by_seed import ARMS
from lab.cause import (
    AS_IS,
    CENTRED,
    LATE_STEP,
    RANDOM,
    RATES,
    SHRUNK,
    STEP,
    Finding,
    beside,
    collapse_p,
    difference,
    findings,
    verdict,
)
from lab.centred_updates import FACT as UPDATES
from lab.preactivations import FACT, STEPS
from tests.made_up import result

SEEDS = 12

# The share of block 2 that is dead, as the protocol predicts it; other arms die as they are.
PREDICTED = {CENTRED: 0.05, SHRUNK: 0.4}


def runs(at_lower: dict[str, float], at_higher: dict[str, float] | None = None) -> list[RunResult]:
    """Runs of all arms, with these shares at the two rates, a little more with every seed."""
    shares = dict(zip(RATES, (at_lower, at_lower if at_higher is None else at_higher), strict=True))
    return [
        run(arm, rate, seed, shares[rate].get(arm, 0.9) + seed / 1000)
        for rate in RATES
        for arm in ARMS
        for seed in range(SEEDS)
    ]


def run(arm: str, rate: str, seed: int, share: float) -> RunResult:
    facts = {FACT: {"dead": [[0.0, share, 0.0]] * STEPS}, UPDATES: {"mean": [[0.9]] * STEP}}
    overrides = (("config", f"docs/data/cause/{arm}.yaml"), ("lr", rate))
    return result("blocks", seed, 0.1 if share > 0.905 else 0.9, overrides, facts=facts)


def test_cause_is_supported_where_runs_are_as_predicted() -> None:
    found = findings(runs(PREDICTED))
    assert all(found[rate].predictions.values() for rate in RATES)
    assert verdict(found) == "supported"
    assert verdict(findings(runs(PREDICTED, {}))) == "supported at the notebook's rate"


@pytest.mark.parametrize(
    ("arm", "share", "refutation"),
    [
        (CENTRED, 0.7, "units die without the common movement"),
        (SHRUNK, 0.05, "the length is enough"),
        (RANDOM, 0.1, "any direction does"),
        ("centred-head", 0.1, "it is not block 2's own movement"),
    ],
)
def test_cause_is_refuted_where_runs_are_otherwise(arm: str, share: float, refutation: str) -> None:
    found = findings(runs(PREDICTED | {arm: share}))
    assert refutation in found[RATES[0]].refutations
    assert verdict(found) == "refuted"


def test_neither_is_found_where_the_dying_is_only_halved() -> None:
    found = findings(runs(PREDICTED | {CENTRED: 0.35}))
    assert not found[RATES[0]].predictions["centring block 2 prevents the dying"]
    assert verdict(found) == "undecided"


def test_only_whole_seeds_count() -> None:
    *results, _ = runs(PREDICTED)
    assert {one.n for one in findings(results)[RATES[0]].differences.values()} == {SEEDS - 1}


def test_difference_has_the_interval_of_order_statistics_and_the_sign_test() -> None:
    found = difference(np.arange(40.0) + 1, np.zeros(40))
    assert (found.value, found.low, found.high) == (20.5, 14, 27)
    assert found.p == pytest.approx(2 * 0.5**40)
    assert difference(np.zeros(40), np.zeros(40)).p == 1


def test_collapses_are_compared_within_seeds() -> None:
    results = runs(PREDICTED)
    assert collapse_p(results)[RATES[0]] == pytest.approx(2 * 2 * 0.5**6)
    assert found_beside(results).predictions["fewer runs collapse"] is False


def found_beside(results: list[RunResult]) -> Finding:
    return beside(results)[RATES[0]]


def test_what_lasts_is_judged_at_the_late_step() -> None:
    results = runs(PREDICTED)
    lasting = f"centring still prevents it at step {LATE_STEP}"
    assert found_beside(results).predictions[lasting]
    for one in results:
        if CENTRED in dict(one.overrides)["config"]:
            one.facts[FACT]["dead"] = [*one.facts[FACT]["dead"][:LATE_STEP], [0.0, 0.5, 0.0]]
    assert all(findings(results)[RATES[0]].predictions.values())
    assert not found_beside(results).predictions[lasting]


def test_block_3_is_compared_in_its_own_share() -> None:
    results = runs(PREDICTED)
    name = "centring block 3 lowers its own share"
    assert not found_beside(results).predictions[name]
    for one in results:
        if "centred-block-3" not in dict(one.overrides)["config"]:
            one.facts[FACT]["dead"] = [[0.0, block, 0.5] for _, block, _ in one.facts[FACT]["dead"]]
    found = found_beside(results)
    assert found.predictions[name]
    assert found.differences[f"block 3: {AS_IS} minus centred-block-3"].value == 0.5


@pytest.mark.parametrize(("share", "holds"), [(0.6, True), (0.4, False)])
def test_premise_is_more_than_half_in_each_update_but_the_first(share: float, holds: bool) -> None:
    results = runs(PREDICTED)
    for one in results:
        if RANDOM in dict(one.overrides)["config"]:
            one.facts[UPDATES] = {"mean": [[0.1], *[[0.9]] * (STEP - 2), [share]]}
    name = "the mean has more than half of the squared length"
    assert found_beside(results).predictions[name] is holds

"""What the protocol predicts of controls, what refutes "downward", and what decides nothing."""

import pytest

from convblocks.record.result import RunResult
from lab.cause import AS_IS, CENTRED, LATE_STEP, RATES, STEP, verdict
from lab.centred_updates import FACT as UPDATES
from lab.direction import ALONE, CENTRALIZED, MATCHED, REPLACED, UPWARD, findings, of_centralization
from lab.preactivations import FACT, STEPS
from tests.made_up import result

SEEDS, FEW = 12, 8

ARMS = (AS_IS, CENTRED, MATCHED, REPLACED, ALONE, UPWARD, *CENTRALIZED)

# The share of block 2 that is dead, as the protocol predicts it; other arms die as they are.
PREDICTED = {CENTRED: 0.02, MATCHED: 0.5, REPLACED: 0.01, UPWARD: 0.0}


def runs(shares: dict[str, float], at_higher: dict[str, float] | None = None) -> list[RunResult]:
    """Runs of all arms at both rates, two arms with fewer seeds, a little more dead with each."""
    by_rate = zip(RATES, (shares, shares if at_higher is None else at_higher), strict=True)
    return [
        run(arm, rate, seed, own.get(arm, 0.9) + seed / 1000)
        for rate, own in by_rate
        for arm in ARMS
        for seed in range(FEW if arm in (UPWARD, CENTRALIZED[0]) else SEEDS)
    ]


def run(arm: str, rate: str, seed: int, share: float) -> RunResult:
    facts = {FACT: {"dead": [[0.0, share, 0.0]] * STEPS}, UPDATES: {"mean": [[0.9]] * STEP}}
    overrides = (("config", f"docs/data/direction/{arm}.yaml"), ("lr", rate))
    return result("blocks", seed, 0.9, overrides, facts=facts)


def test_downward_is_supported_where_runs_are_as_predicted() -> None:
    found = findings(runs(PREDICTED))
    assert all(all(found[rate].predictions.values()) for rate in RATES)
    assert verdict(found) == "supported"
    assert verdict(findings(runs(PREDICTED, {}))) == "supported at the notebook's rate"


@pytest.mark.parametrize(
    ("arm", "share", "refutation"),
    [
        (UPWARD, 0.6, "a common movement kills in either direction"),
        (ALONE, 0.3, "the common movement needs the rest"),
        (REPLACED, 0.6, "any movement of that length kills"),
        (MATCHED, 0.02, "it is the size of the step in pre-activations"),
    ],
)
def test_downward_is_refuted_where_runs_are_otherwise(
    arm: str, share: float, refutation: str
) -> None:
    found = findings(runs(PREDICTED | {arm: share}))
    assert found[RATES[0]].refutations == (refutation,)
    assert verdict(found) == "refuted"


@pytest.mark.parametrize(
    ("arm", "share", "prediction"),
    [
        (UPWARD, 0.3, "turned upward it does not kill"),
        (ALONE, 0.6, "it kills by itself"),
        (REPLACED, 0.3, "as long a movement that is not common does not"),
    ],
)
def test_neither_is_found_between_the_limits(arm: str, share: float, prediction: str) -> None:
    found = findings(runs(PREDICTED | {arm: share}))
    assert [name for name, holds in found[RATES[0]].predictions.items() if not holds] == [
        prediction
    ]
    assert verdict(found) == "undecided"


def test_arms_are_compared_over_the_seeds_that_both_have() -> None:
    differences = findings(runs(PREDICTED))[RATES[0]].differences
    assert [one.n for one in differences.values()] == [FEW, SEEDS, SEEDS, SEEDS]


def test_p_is_corrected_over_eight_pairs() -> None:
    """Twelve seeds, eight for the upward mean, that all agree: the largest p is left as it is."""
    p_values = [one.p for one in findings(runs(PREDICTED))[RATES[0]].differences.values()]
    plain, few = 2 * 0.5**SEEDS, 2 * 0.5**FEW
    assert p_values == pytest.approx([2 * few, 8 * plain, 8 * plain, 8 * plain])


def test_what_lasts_is_judged_at_the_late_step() -> None:
    results = runs(PREDICTED)
    for one in results:
        if UPWARD in dict(one.overrides)["config"]:
            one.facts[FACT]["dead"] = [*one.facts[FACT]["dead"][:LATE_STEP], [0.0, 0.9, 0.0]]
    at_step, later = (findings(results, step)[RATES[0]].predictions for step in (STEP, LATE_STEP))
    assert at_step["turned upward it does not kill"]
    assert not later["turned upward it does not kill"]


def test_gradient_centralization_is_judged_at_both_steps() -> None:
    found = of_centralization(runs(PREDICTED | {CENTRALIZED[1]: 0.0}))[RATES[0]]
    assert found.predictions == {
        f"{arm} prevents the dying, at step {step}": arm == CENTRALIZED[1]
        for arm in CENTRALIZED
        for step in (STEP, LATE_STEP)
    }
    assert not found.refutations

"""Verdicts on the notebook's claims follow from the numbers, whatever the runs look like."""

import math

import pytest

from convblocks.comparison.analysis import Comparison, Reading, compare
from convblocks.comparison.claims import Claim, claims_of, runs_that_decide
from convblocks.comparison.statistics import permutation_test
from convblocks.runs.result import RunResult, by_arch
from tests.comparison.made_up import PARAMETERS, as_claimed, course, result, short
from tests.comparison.test_analysis import COURSES

READINGS: tuple[Reading, Reading] = ("all", "trained")


def rulings(runs: list[RunResult]) -> tuple[list[str], list[str]]:
    """Over all runs, and over those that trained."""
    claims = claims_of(compare(runs))
    return [claim.all_runs.ruling for claim in claims], [claim.trained.ruling for claim in claims]


def claim_on(comparison: Comparison, words: str) -> Claim:
    (claim,) = [claim for claim in claims_of(comparison) if words in claim.text]
    return claim


def with_maxpool(*runs: RunResult) -> Comparison:
    """Seven runs of each network as claimed, but these of MaxPool."""
    return compare([*(one for one in as_claimed(7) if one.arch != "maxpool"), *runs])


def test_clear_differences_of_seven_runs_support_all_claims() -> None:
    assert rulings(as_claimed(7)) == (["supported"] * 5,) * 2


def test_differences_the_other_way_are_not_supported() -> None:
    reversed_runs = [short(one.arch, one.seed, 1.9 - one.accuracy, 0.25 - one.last_loss) for one in as_claimed(7)]
    assert rulings(reversed_runs) == (["supported", *["not supported"] * 4],) * 2


@pytest.mark.parametrize(("seeds", "ruling"), [(3, "n is too small"), (4, "n is too small"), (5, "supported")])
def test_too_few_runs_decide_nothing(seeds: int, ruling: str) -> None:
    """Three runs against three have p = 0.1 at the least, whatever the effect."""
    assert rulings(as_claimed(seeds)) == (["supported", *[ruling] * 4],) * 2


def test_five_runs_of_each_can_decide_four_claims() -> None:
    """Of the 252 ways to divide ten runs two are the most extreme: 4 * 2 / 252 = 0.032; with eight, 4 * 2 / 70."""
    assert runs_that_decide(4) == 5
    assert max(one.trained.p or 0 for one in claims_of(compare(as_claimed(5)))) == pytest.approx(4 * 2 / 252)


def test_no_equal_network_is_better_let_alone_much_better() -> None:
    tied = [short(arch, seed, 0.97) for arch in PARAMETERS for seed in range(7)]
    assert rulings(tied) == (["supported", *["undecided"] * 3, "not supported"],) * 2


def test_collapsed_runs_count_over_all_runs_only() -> None:
    claim = claim_on(compare(as_claimed(8, collapsed=3)), "test better")
    assert (claim.all_runs.ruling, claim.trained.ruling, claim.readings_differ) == ("undecided", "supported", True)


def test_the_trained_runs_may_be_too_few() -> None:
    claim = claim_on(compare(as_claimed(8, collapsed=6)), "much better")
    assert (claim.all_runs.ruling, claim.trained.ruling) == ("supported", "n is too small")


def test_without_trained_runs_nothing_is_decided() -> None:
    all_runs, trained = rulings([short(arch, seed, 0.1) for arch in PARAMETERS for seed in range(6)])
    assert all_runs == ["supported", *["undecided"] * 4]
    assert trained == ["supported", *["n is too small"] * 4]


@pytest.mark.parametrize(("points", "ruling"), [(0.9, "not supported"), (1.1, "supported")])
def test_much_better_is_by_more_than_one_point(points: float, ruling: str) -> None:
    near = [one for one in as_claimed(7) if one.arch != "batchnorm"]
    levels = [0.96 + points / 100 + 0.0001 * (seed * 2 % 7) for seed in range(7)]
    comparison = compare([*near, *(short("batchnorm", seed, one) for seed, one in enumerate(levels))])
    claim = claim_on(comparison, "much better")
    assert (claim.all_runs.ruling, claim.trained.ruling) == (ruling, ruling)


def test_the_test_of_much_better_is_that_of_a_margin() -> None:
    accuracies = {arch: [one.accuracy for one in own] for arch, own in by_arch(as_claimed(7)).items()}
    (evidence,) = claim_on(compare(as_claimed(7)), "much better").evidence
    assert evidence.trained == permutation_test(accuracies["batchnorm"], accuracies["maxpool"], margin=0.01)


def test_of_a_conjunction_the_largest_p_counts_and_holm_goes_over_the_claims() -> None:
    """BatchNorm is clearly better than the MLP, MaxPool barely: the claim on both has MaxPool's p."""
    close = [short("maxpool", seed, 0.95 + 0.0001 * (seed * 5 % 7) + 0.0001, loss=0.14) for seed in range(7)]
    claim = claim_on(with_maxpool(*close), "test better")
    batchnorm, maxpool = (one.p("trained") for one in claim.evidence)
    assert batchnorm < 0.001 < maxpool
    assert claim.trained.p == pytest.approx(maxpool)  # the last of Holm's steps
    assert claim.trained.ruling == "undecided"


def test_one_worse_network_refutes_a_claim_on_both() -> None:
    worse = [short("maxpool", seed, 0.93 + 0.0001 * (seed * 5 % 7), loss=0.14) for seed in range(7)]
    claim = claim_on(with_maxpool(*worse), "test better")
    _, maxpool = claim.evidence
    assert (claim.all_runs.ruling, claim.trained.ruling) == ("not supported", "not supported")
    assert claim.trained.p is not None
    assert claim.trained.p >= 2 * maxpool.p("trained")  # either of the two could have been the worse one


def test_other_networks_have_no_claims() -> None:
    comparison = compare([one for one in as_claimed(3) if one.arch != "batchnorm"])
    assert claims_of(comparison) == ()
    assert {(one.first, one.second) for one in comparison.differences} == {("maxpool", "mlp")}


def test_networks_of_different_sizes_are_not_roughly_equal() -> None:
    larger = [short("maxpool", seed, 0.96, parameters=88_000) for seed in range(3)]
    assert claim_on(with_maxpool(*larger), "equal numbers").trained.ruling == "not supported"


def test_diverged_runs_are_evidence() -> None:
    lost = [short("mlp", seed, 0.098, loss=math.nan) for seed in range(3)]
    assert rulings([*lost, *as_claimed(8)[3:]])[0] == ["supported"] * 5


@pytest.mark.parametrize(("of_mlp", "accuracy"), [(COURSES["mlp"], 0.98), (course(0.9, 0.97), 0.97)])
def test_with_a_schedule_the_time_to_98_percent_decides_which_is_faster(
    of_mlp: tuple[dict[str, float], ...], accuracy: float
) -> None:
    """Also if one network never reaches it."""
    courses = COURSES | {"mlp": of_mlp}
    cycled = [
        result(arch, seed, accuracy, epochs=epochs, lr_scheduler="onecycle")
        for arch, epochs in courses.items()
        for seed in range(7)
    ]
    claim = claim_on(compare(cycled), "train faster")
    assert {one.measure for one in claim.evidence} == {"seconds_to_goal"}
    assert claim.trained.ruling == claim.all_runs.ruling == "supported"


@pytest.mark.parametrize("shift", [0.0, 0.002, 0.01])
@pytest.mark.parametrize("collapsed", [0, 2, 5])
def test_every_verdict_follows_from_its_numbers(shift: float, collapsed: int) -> None:
    shifted = [
        short(one.arch, one.seed, one.accuracy + shift * (one.seed % 3 - 1), one.last_loss)
        for one in as_claimed(7, collapsed)
    ]
    for claim in claims_of(compare(shifted))[1:]:
        for reading, verdict in zip(READINGS, (claim.all_runs, claim.trained), strict=True):
            better = [one.is_better(reading) for one in claim.evidence]
            assert verdict.p is not None
            assert (verdict.ruling == "supported") == (verdict.p < 0.05 and all(better))
            assert (verdict.ruling == "not supported") == (verdict.p < 0.05 and not all(better))

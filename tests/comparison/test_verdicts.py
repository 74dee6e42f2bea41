"""Verdicts agree with the numbers, whatever the runs look like."""

import math

import pytest
from convblocks.comparison.outcomes import Images, Provenance, RunResult
from convblocks.comparison.verdicts import Claim, Comparison, compare, enough_runs, is_better, meets, p_of, row_of

from convblocks.comparison import statistics
from convblocks.comparison.statistics import mean_interval, permutation_test
from convblocks.data.image_spec import MNIST

PARAMETERS = {"mlp": 79_510, "maxpool": 85_526, "batchnorm": 77_918}
SETTINGS = (("epochs", "5"),)


def outcome(arch: str, seed: int, accuracy: float, loss: float = 0.1, **changed: object) -> RunResult:
    """A constructed run of two epochs; ``loss`` is that of its last, and half that of its first."""
    values: dict[str, object] = {
        "arch": arch,
        "settings": SETTINGS,
        "seed": seed,
        "parameters": PARAMETERS[arch],
        "first_loss": 2 * loss,
        "last_loss": loss,
        "accuracy": accuracy,
        "validation": None,
        "collapsed": accuracy < 0.15,
        "seconds": 20.0,
        "epochs": tuple({"train/loss": one, "test/acc": accuracy, "seconds": 10.0} for one in (2 * loss, loss)),
        "images": Images(MNIST, test_images=10_000, chance_threshold=0.15),
        "provenance": Provenance("a machine", threads=1, processes=1, commit=None),
    }
    return RunResult(**(values | changed))  # type: ignore[arg-type]  # the fields of an RunResult


def runs(seeds: int, collapsed: int = 0, **changed: object) -> list[RunResult]:
    """The pattern that the notebook claims: batchnorm above maxpool above mlp, but for maxpool's first runs."""
    levels = {"mlp": (0.95, 0.18, 3), "maxpool": (0.96, 0.14, 5), "batchnorm": (0.98, 0.04, 2)}
    return [
        outcome(arch, seed, 0.1135, 2.3, **changed)
        if arch == "maxpool" and seed < collapsed
        else outcome(arch, seed, base + 0.0001 * (seed * factor % 7), loss + 0.001 * (seed * factor % 5), **changed)
        for arch, (base, loss, factor) in levels.items()
        for seed in range(seeds)
    ]


def expected(comparison: Comparison) -> list[str]:
    return [claim.expected.verdict for claim in comparison.claims]


def trained(comparison: Comparison) -> list[str]:
    return [claim.trained.verdict for claim in comparison.claims]


def claim_on(comparison: Comparison, words: str) -> Claim:
    (claim,) = [claim for claim in comparison.claims if words in claim.text]
    return claim


def test_clear_differences_at_seven_seeds_support_all_claims() -> None:
    comparison = compare(runs(7))
    assert expected(comparison) == trained(comparison) == ["supported"] * 5


def test_differences_the_other_way_are_not_supported() -> None:
    reversed_runs = [
        outcome(one.arch, one.seed, accuracy=1.9 - one.accuracy, loss=0.25 - one.last_loss) for one in runs(7)
    ]
    comparison = compare(reversed_runs)
    assert expected(comparison) == trained(comparison) == ["supported", *["not supported"] * 4]


@pytest.mark.parametrize(("seeds", "verdict"), [(3, "n is too small"), (4, "n is too small"), (5, "supported")])
def test_too_few_runs_to_decide_are_called_so(seeds: int, verdict: str) -> None:
    """Three runs against three have p = 0.1 at the least, whatever the effect."""
    comparison = compare(runs(seeds))
    assert expected(comparison)[1:] == trained(comparison)[1:] == [verdict] * 4


def test_five_runs_of_each_can_decide_four_claims() -> None:
    """Of the 252 ways to divide ten runs two are the most extreme: 4 * 2 / 252 = 0.032; with eight, 4 * 2 / 70."""
    assert enough_runs(4) == 5
    assert max(claim.trained.p or 0 for claim in compare(runs(5)).claims) == pytest.approx(4 * 2 / 252)


def test_of_equals_none_is_better_and_certainly_none_much_better() -> None:
    tied = compare([outcome(arch, seed, 0.97) for arch in PARAMETERS for seed in range(7)])
    assert expected(tied) == trained(tied) == ["supported", *["undecided"] * 3, "not supported"]
    assert {one.expected.probability for one in tied.differences} == {0.5}


def test_what_to_expect_counts_collapsed_runs_and_given_that_it_trains_does_not() -> None:
    comparison = compare(runs(8, collapsed=3))
    claim = claim_on(comparison, "test better")
    assert (claim.expected.verdict, claim.trained.verdict) == ("undecided", "supported")
    maxpool, batchnorm = sorted(claim.evidence, key=lambda one: one.first, reverse=True)
    assert (maxpool.expected.probability, batchnorm.expected.probability) == (0.625, 1.0)
    assert (maxpool.runs, maxpool.trained_runs) == ((8, 8), (5, 8))


def test_few_runs_that_trained_are_too_few_though_all_are_enough() -> None:
    comparison = compare(runs(8, collapsed=6))
    assert claim_on(comparison, "much better").expected.verdict == "supported"
    assert claim_on(comparison, "much better").trained.verdict == "n is too small"


def test_no_mean_counts_a_collapsed_run() -> None:
    row = row_of([outcome("maxpool", 0, 0.1), outcome("maxpool", 1, 0.97), outcome("maxpool", 2, 0.98)])
    assert row.accuracy is not None
    assert row.accuracy.n == 2
    assert row.accuracy.mean == pytest.approx(0.975)
    assert (row.worst, row.best, row.collapsed_at) == (0.97, 0.98, (0.1,))


def test_none_of_ten_collapsed_is_not_never() -> None:
    """Wilson's interval of 10 of 10: z^2 = 3.84, and 10 / (10 + 3.84) = 0.72."""
    row = row_of([outcome("mlp", seed, 0.95) for seed in range(10)])
    assert row.trained_interval == pytest.approx((10 / (10 + 1.959964**2), 1.0))


def test_where_all_runs_collapsed_there_is_no_mean_and_no_difference() -> None:
    comparison = compare([outcome(arch, seed, 0.1) for arch in PARAMETERS for seed in range(6)])
    assert [row.accuracy for row in comparison.rows] == [None] * 3
    assert {one.trained for one in comparison.differences} == {None}
    assert trained(comparison) == ["supported", *["n is too small"] * 4]
    assert expected(comparison) == ["supported", *["undecided"] * 4]


@pytest.mark.parametrize(("points", "verdict"), [(0.9, "not supported"), (1.1, "supported")])
def test_much_better_is_by_more_than_one_point(points: float, verdict: str) -> None:
    near = [one for one in runs(7) if one.arch != "batchnorm"]
    levels = [0.96 + points / 100 + 0.0001 * (seed * 2 % 7) for seed in range(7)]
    comparison = compare([*near, *(outcome("batchnorm", seed, one) for seed, one in enumerate(levels))])
    claim = claim_on(comparison, "much better")
    assert (claim.expected.verdict, claim.trained.verdict) == (verdict, verdict)


def test_the_test_of_much_better_is_that_of_a_margin() -> None:
    comparison = compare(runs(7))
    accuracies = {arch: [one.accuracy for one in runs(7) if one.arch == arch] for arch in PARAMETERS}
    (evidence,) = claim_on(comparison, "much better").evidence
    assert evidence.trained == permutation_test(accuracies["batchnorm"], accuracies["maxpool"], margin=0.01)


def test_of_a_conjunction_the_largest_p_counts_and_holm_goes_over_the_claims() -> None:
    """BatchNorm is clearly better than the MLP, MaxPool barely: what holds of both is what holds of MaxPool."""
    close = [outcome("maxpool", seed, 0.95 + 0.0001 * (seed * 5 % 7) + 0.0001, loss=0.14) for seed in range(7)]
    comparison = compare([*(one for one in runs(7) if one.arch != "maxpool"), *close])
    claim = claim_on(comparison, "test better")
    batchnorm, maxpool = (p_of(one, "trained") for one in claim.evidence)
    assert batchnorm < 0.001 < maxpool
    assert claim.trained.p == pytest.approx(maxpool)  # the last of Holm's steps
    assert claim.trained.verdict == "undecided"


def test_one_network_that_is_worse_refutes_what_is_claimed_of_both() -> None:
    worse = [outcome("maxpool", seed, 0.93 + 0.0001 * (seed * 5 % 7), loss=0.14) for seed in range(7)]
    comparison = compare([*(one for one in runs(7) if one.arch != "maxpool"), *worse])
    claim = claim_on(comparison, "test better")
    _, maxpool = claim.evidence
    assert (claim.expected.verdict, claim.trained.verdict) == ("not supported", "not supported")
    assert claim.trained.p is not None
    assert claim.trained.p >= 2 * p_of(maxpool, "trained")  # either of the two could have been the worse one


def test_a_missing_run_is_only_one_run_less() -> None:
    comparison = compare([one for one in runs(7) if (one.arch, one.seed) != ("mlp", 4)])
    sizes = {(one.first, one.second): one.runs for one in comparison.differences if one.measure == "accuracy"}
    assert sizes == {("batchnorm", "maxpool"): (7, 7), ("batchnorm", "mlp"): (7, 6), ("maxpool", "mlp"): (7, 6)}


def test_the_seeds_do_not_pair_networks() -> None:
    shuffled = [outcome(one.arch, 6 - one.seed, one.accuracy, one.last_loss) for one in runs(7)]
    assert compare(shuffled).differences == compare(runs(7)).differences


def test_other_networks_make_no_claims() -> None:
    comparison = compare([one for one in runs(3) if one.arch != "batchnorm"])
    assert comparison.claims == ()
    assert {(one.first, one.second) for one in comparison.differences} == {("maxpool", "mlp")}


def test_networks_of_unlike_sizes_are_not_roughly_equal() -> None:
    larger = [outcome("maxpool", seed, 0.96, parameters=88_000) for seed in range(3)]
    comparison = compare([*(one for one in runs(3) if one.arch != "maxpool"), *larger])
    assert claim_on(comparison, "equal numbers").trained.verdict == "not supported"


def test_a_diverged_run_has_no_loss_and_counts_as_the_worst() -> None:
    lost = [outcome("mlp", seed, 0.098, loss=math.nan, collapsed=True) for seed in range(3)]
    comparison = compare([*lost, *runs(8)[3:]])
    losses = [one for one in comparison.differences if one.measure == "last_loss" and one.second == "mlp"]
    assert [one.trained_runs for one in losses] == [(8, 5), (8, 5)]
    assert [one.expected.probability for one in losses] == [1.0, 1.0]
    assert expected(comparison) == ["supported"] * 5


def course(*accuracies: float) -> tuple[dict[str, float], ...]:
    return tuple({"train/loss": 0.1, "test/acc": one, "seconds": 10.0} for one in accuracies)


def test_where_the_schedule_is_not_constant_the_faster_one_has_98_percent_sooner() -> None:
    """The loss of the first epoch would tell of the warm-up."""
    courses = {"mlp": course(0.9, 0.97, 0.981), "maxpool": course(0.98, 0.99), "batchnorm": course(0.9, 0.985)}
    cycled = [
        outcome(arch, seed, 0.98, schedule="onecycle", epochs=epochs)
        for arch, epochs in courses.items()
        for seed in range(7)
    ]
    claim = claim_on(compare(cycled), "train faster")
    assert {one.measure for one in claim.evidence} == {"seconds_to_goal"}
    assert [one.trained.difference for one in claim.evidence if isinstance(one.trained, statistics.Test)] == [-10, -20]
    assert claim.trained.verdict == "supported"


def test_a_run_that_never_has_98_percent_is_the_slowest() -> None:
    courses = {"mlp": course(0.9, 0.97), "maxpool": course(0.98, 0.99), "batchnorm": course(0.9, 0.985)}
    cycled = [
        outcome(arch, seed, 0.97, schedule="onecycle", epochs=epochs)
        for arch, epochs in courses.items()
        for seed in range(7)
    ]
    claim = claim_on(compare(cycled), "train faster")
    assert claim.trained.verdict == claim.expected.verdict == "supported"
    assert all(isinstance(one.trained, statistics.Superiority) for one in claim.evidence)


def test_a_goal_is_met_when_the_interval_is_above_it() -> None:
    """99.46 +- 0.10 is no evidence for 99.45."""
    mean = mean_interval([0.9933, 0.9942, 0.9946, 0.9950, 0.9959])
    assert (round(mean.mean, 4), round(mean.deviation, 4)) == (0.9946, 0.001)
    assert not meets(0.9945, mean)
    assert meets(0.993, mean)
    assert not meets(0.993, mean_interval([0.9946]))
    assert not meets(0.993, None)


@pytest.mark.parametrize("shift", [0.0, 0.002, 0.01])
@pytest.mark.parametrize("collapsed", [0, 2, 5])
def test_every_verdict_follows_from_its_numbers(shift: float, collapsed: int) -> None:
    shifted = [
        outcome(one.arch, one.seed, one.accuracy + shift * (one.seed % 3 - 1), one.last_loss)
        for one in runs(7, collapsed)
    ]
    for claim in compare(shifted).claims[1:]:
        for which, reading in (("expected", claim.expected), ("trained", claim.trained)):
            better = [is_better(one, which) for one in claim.evidence]  # type: ignore[arg-type]  # one of the two
            assert reading.p is not None
            assert (reading.verdict == "supported") == (reading.p < 0.05 and all(better))
            assert (reading.verdict == "not supported") == (reading.p < 0.05 and not all(better))

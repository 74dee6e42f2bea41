"""Equal compute is judged as its protocol says."""

import pytest

from convblocks.figures.estimates import POINTS, SHARE, Estimate
from convblocks.record.result import RunResult
from lab.compute import ARMS, Verdict, arms_of, at_edge, chosen, leads, verdict
from lab.pages.writing import DATA
from lab.results import read_results
from tests.made_up import CHANCE, result

CHOOSING = range(7000, 7003)
CONFIRMING = range(7003, 7015)

RATES = ("3e-3", "1e-2", "3e-2")

AHEAD = Estimate(0.002, 0.001, 0.003, 12, 0.001, POINTS)


def choosing(best: str = "1e-2", seeds: range = CHOOSING) -> list[RunResult]:
    """The runs of both arms that choose this rate."""
    return [
        result(
            arch,
            seed,
            0.99,
            (("lr_scheduler", "onecycle"), ("data.val_size", "5000"), ("lr", rate)),
            validation=0.99 if rate == best else 0.98,
        )
        for seed in seeds
        for arch in ARMS
        for rate in RATES
    ]


def confirming(accuracy: float = 0.991, seeds: range = CONFIRMING) -> list[RunResult]:
    return [
        result(arch, seed, accuracy + seed % 5 / 1e4, (("data.val_size", "0"), ("lr", "1e-2")))
        for seed in seeds
        for arch in ARMS
    ]


def maxpool(accuracy: float = 0.994) -> list[RunResult]:
    return [result("maxpool", seed, accuracy + seed % 4 / 1e4) for seed in range(12)]


@pytest.mark.parametrize("rate", RATES)
def test_each_arm_gets_the_rate_with_the_best_mean_on_held_out_images(rate: str) -> None:
    arms = arms_of(choosing(rate))
    assert [chosen(arm) for arm in arms.values()] == [rate, rate]
    assert at_edge(arms) == ([] if rate == "1e-2" else ["longer", "wider"])


def test_rate_is_no_edge_where_the_next_was_tried_too() -> None:
    runs = choosing("3e-2")
    further = [
        result(run.arch, run.seed, 0.99, (*run.overrides[:-1], ("lr", "1e-1")), validation=0.97)
        for run in runs
        if (run.arch, dict(run.overrides)["lr"]) == ("batchnorm", "3e-2")
    ]
    arms = arms_of([*runs, *further])
    assert [chosen(arm) for arm in arms.values()] == ["3e-2", "3e-2"]
    assert at_edge(arms) == ["wider"]


def test_only_seeds_with_both_arms_count() -> None:
    *runs, _ = choosing()
    *more, _ = confirming()
    arms = arms_of([*runs, *more])
    assert {len(own) for arm in arms.values() for own in arm.choosing.values()} == {2}
    assert {len(arm.confirming) for arm in arms.values()} == {11}


def test_leads_are_differences_of_means_corrected_for_two() -> None:
    found = leads(arms_of(choosing() + confirming()), maxpool())
    assert {one.unit for one in found.values()} == {POINTS}
    assert found["longer"].value == pytest.approx(0.002925)
    assert found["longer"].p == pytest.approx(2 / 2**16)


def test_ranks_decide_if_a_run_collapses() -> None:
    *runs, last, _ = confirming()
    lost = [result(run.arch, run.seed, CHANCE, run.overrides) for run in (last, _)]
    found = leads(arms_of([*choosing(), *runs, *lost]), maxpool())
    assert [(one.unit, one.value) for one in found.values()] == [(SHARE, 1), (SHARE, 1)]
    assert verdict(found, []) == "more"


@pytest.mark.parametrize(
    ("wider", "expected"),
    [
        (AHEAD, "more"),
        (Estimate(0.002, -0.001, 0.005, 12, 0.2, POINTS), "undecided"),
        (Estimate(-0.002, -0.005, 0.002, 12, 0.01, POINTS), "undecided"),
        (Estimate(0.0, -0.0009, 0.0009, 12, 1, POINTS), "arithmetic"),
        (Estimate(0.0005, 0.0001, 0.0009, 12, 0.01, POINTS), "arithmetic"),
        (Estimate(0.4, 0.2, 0.6, 12, 0.5, SHARE), "undecided"),
        (Estimate(0.1, 0.0, 0.3, 12, 0.001, SHARE), "undecided"),
    ],
)
def test_verdict_is_the_protocols(wider: Estimate, expected: Verdict) -> None:
    assert verdict({"longer": AHEAD, "wider": wider}, []) == expected


def test_no_lead_is_claimed_over_an_arm_whose_best_rate_is_at_the_edge() -> None:
    assert verdict({"longer": AHEAD, "wider": AHEAD}, ["wider"]) == "undecided"


def test_kept_runs_confirm_the_rates_that_their_choice_gives() -> None:
    for arm in arms_of(read_results(DATA / "compute.jsonl")).values():
        assert {dict(run.overrides)["lr"] for run in arm.confirming} <= {chosen(arm)}

"""Verdicts on the notebook's claims follow from the numbers, whatever the runs look like."""

import math
from collections.abc import Sequence

import pytest

from convblocks.run.result import RunResult
from lab.claims import Claim, claims_of
from lab.differences import Reading
from lab.notebook import compare_networks
from tests.made_up import COURSES, PARAMETERS, as_claimed, course, result, short

READINGS: tuple[Reading, Reading] = ("all", "trained")
RULINGS = {"supported": "+", "not supported": "-", "undecided": "?", "too few runs": "n"}


def claim_on(runs: Sequence[RunResult], words: str) -> Claim:
    (claim,) = [claim for claim in claims_of(compare_networks(runs)) if words in claim.text]
    return claim


def with_maxpool(*runs: RunResult) -> list[RunResult]:
    """Seven runs of each network as claimed, but these of MaxPool."""
    return [*(one for one in as_claimed(7) if one.arch != "maxpool"), *runs]


def maxpool(accuracy: float, **changed: object) -> list[RunResult]:
    """Seven runs with a loss as claimed."""
    levels = [accuracy + 0.0001 * (seed * 5 % 7) for seed in range(7)]
    return [short("maxpool", seed, level, **({"loss": 0.14} | changed)) for seed, level in enumerate(levels)]  # type: ignore[arg-type]


def ahead(points: float) -> list[RunResult]:
    """BatchNorm is so many points above MaxPool."""
    levels = [0.96 + points / 100 + 0.0001 * (seed * 2 % 7) for seed in range(7)]
    others = [one for one in as_claimed(7) if one.arch != "batchnorm"]
    return [*others, *(short("batchnorm", seed, one, loss=0.04) for seed, one in enumerate(levels))]


def scheduled(of_mlp: tuple[dict[str, float], ...]) -> list[RunResult]:
    return [
        result(arch, seed, 0.98, epochs=epochs, hparams={"lr_scheduler": "onecycle"})
        for arch, epochs in (COURSES | {"mlp": of_mlp}).items()
        for seed in range(7)
    ]


@pytest.mark.parametrize(
    ("runs", "over_all", "over_trained"),
    [
        pytest.param(as_claimed(7), "+++++", "+++++", id="seven runs as claimed"),
        pytest.param(as_claimed(5), "+++++", "+++++", id="five"),
        pytest.param(as_claimed(4), "+nnnn", "+nnnn", id="four"),
        pytest.param(
            [short(one.arch, one.seed, 1.9 - one.score, 0.25 - one.last_loss) for one in as_claimed(7)],
            *["+----", "+----"],
            id="the other way round",
        ),
        pytest.param(
            [short(arch, seed, 0.97) for arch in PARAMETERS for seed in range(7)], "+???-", "+???-", id="equal networks"
        ),
        pytest.param(as_claimed(8, collapsed=3), "+???+", "+++++", id="three of eight collapsed"),
        pytest.param(as_claimed(8, collapsed=6), "+???+", "+nnnn", id="six of eight collapsed"),
        pytest.param(
            [short(arch, seed, 0.1) for arch in PARAMETERS for seed in range(6)], "+????", "+nnnn", id="none trained"
        ),
        pytest.param(
            [*(short("mlp", seed, 0.098, loss=math.nan) for seed in range(3)), *as_claimed(8)[3:]],
            *["+++++", "+++++"],
            id="runs of the MLP diverged",
        ),
        pytest.param(ahead(0.9), "++++-", "++++-", id="0.9 points are not much"),
        pytest.param(ahead(1.1), "+++++", "+++++", id="1.1 points are"),
        pytest.param(with_maxpool(*maxpool(0.93)), "+++-+", "+++-+", id="one network is worse than the MLP"),
        pytest.param(with_maxpool(*maxpool(0.96, parameters=88_000)), "-++++", "-++++", id="larger"),
        pytest.param(scheduled(COURSES["mlp"]), "++??-", "++??-", id="with a schedule"),
        pytest.param(scheduled(course(0.9, 0.97)), "++??-", "++??-", id="with a schedule, 98 % is never reached"),
    ],
)
def test_verdicts_over_all_and_over_trained_runs(runs: list[RunResult], over_all: str, over_trained: str) -> None:
    """On equal numbers of parameters, speed, loss, accuracy, and BatchNorm's being much better."""
    claims = claims_of(compare_networks(runs))
    assert "".join(RULINGS[claim.all_runs.ruling] for claim in claims) == over_all
    assert "".join(RULINGS[claim.trained.ruling] for claim in claims) == over_trained
    assert any(claim.readings_differ for claim in claims) == (over_all != over_trained)


def test_of_a_conjunction_the_largest_p_counts_and_against_it_the_smallest_is_corrected() -> None:
    """BatchNorm is clearly better than the MLP; MaxPool barely, and then worse: one suffices to refute."""
    claim = claim_on(with_maxpool(*maxpool(0.9501)), "test better")
    batchnorm, close = (one.p("trained") for one in claim.evidence)
    assert batchnorm < 0.001 < close
    assert claim.trained.p == pytest.approx(close)  # the last of Holm's steps
    assert claim.trained.ruling == "undecided"
    refuted = claim_on(with_maxpool(*maxpool(0.9496)), "test better")
    assert refuted.trained.ruling == "not supported"
    # Either of the two could have been the worse one.
    assert refuted.trained.p == pytest.approx(2 * refuted.evidence[1].p("trained"))


@pytest.mark.parametrize("shift", [0.0, 0.002, 0.01])
@pytest.mark.parametrize("collapsed", [0, 2, 5])
def test_every_verdict_follows_from_its_numbers(shift: float, collapsed: int) -> None:
    runs = [
        short(one.arch, one.seed, one.score + shift * (one.seed % 3 - 1), one.last_loss)
        for one in as_claimed(7, collapsed)
    ]
    for claim in claims_of(compare_networks(runs))[1:]:
        for reading, verdict in zip(READINGS, (claim.all_runs, claim.trained), strict=True):
            holds = all(one.is_better(reading) for one in claim.evidence)
            assert verdict.p is not None
            assert (verdict.ruling == "supported") == (verdict.p < 0.05 and holds)
            assert (verdict.ruling == "not supported") == (verdict.p < 0.05 and not holds)

"""Verdicts on the notebook's claims follow from the numbers, whatever the runs look like."""

from collections.abc import Sequence

import pytest

from convblocks.compare.analysis import compare
from convblocks.run.result import RunResult
from lab.claims import Claim, claims_of
from lab.differences import winner
from lab.notebook import compare_networks
from tests.made_up import COURSES, PARAMETERS, as_claimed, result, short

RULINGS = {"supported": "+", "not supported": "-", "undecided": "?", "too few runs": "n"}


def claim_on(runs: Sequence[RunResult], words: str) -> Claim:
    (claim,) = [claim for claim in claims_of(compare_networks(runs)) if words in claim.text]
    return claim


def with_maxpool(*runs: RunResult) -> list[RunResult]:
    """Seven runs of each network as claimed, but these of MaxPool."""
    return [*(run for run in as_claimed(7) if run.arch != "maxpool"), *runs]


def maxpool(accuracy: float, **changed: object) -> list[RunResult]:
    """Seven runs with a loss as claimed."""
    levels = [accuracy + 0.0001 * (seed * 5 % 7) for seed in range(7)]
    return [short("maxpool", seed, level, **({"loss": 0.14} | changed)) for seed, level in enumerate(levels)]  # type: ignore[arg-type]


def ahead(points: float) -> list[RunResult]:
    """BatchNorm is this many points above MaxPool."""
    levels = [0.96 + points / 100 + 0.0001 * (seed * 2 % 7) for seed in range(7)]
    others = [run for run in as_claimed(7) if run.arch != "batchnorm"]
    return [*others, *(short("batchnorm", seed, level, loss=0.04) for seed, level in enumerate(levels))]


def scheduled(mlp: tuple[dict[str, float], ...]) -> list[RunResult]:
    return [
        result(arch, seed, 0.98, epochs=epochs, hparams={"lr_scheduler": "onecycle"})
        for arch, epochs in (COURSES | {"mlp": mlp}).items()
        for seed in range(7)
    ]


@pytest.mark.parametrize(
    ("runs", "over_all", "over_trained"),
    [
        pytest.param(as_claimed(7), "+++++", "+++++", id="seven runs as claimed"),
        pytest.param(
            [short(run.arch, run.seed, 1.9 - run.score, 0.25 - run.last_loss) for run in as_claimed(7)],
            *["+----", "+----"],
            id="the other way round",
        ),
        pytest.param(
            [short(arch, seed, 0.97) for arch in PARAMETERS for seed in range(7)], "+???-", "+???-", id="equal networks"
        ),
        pytest.param(as_claimed(8, collapsed=3), "+???+", "+++++", id="three of eight collapsed"),
        pytest.param(
            [short(arch, seed, 0.1) for arch in PARAMETERS for seed in range(6)], "+????", "+nnnn", id="none trained"
        ),
        pytest.param(ahead(0.9), "++++-", "++++-", id="0.9 points are not much"),
        pytest.param(ahead(1.1), "+++++", "+++++", id="1.1 points are"),
        pytest.param(with_maxpool(*maxpool(0.96, parameters=88_000)), "-++++", "-++++", id="larger"),
        pytest.param(scheduled(COURSES["mlp"]), "++??-", "++??-", id="with a schedule"),
    ],
)
def test_claims_over_all_and_over_trained_runs(runs: list[RunResult], over_all: str, over_trained: str) -> None:
    """On equal numbers of parameters, speed, loss, accuracy, and BatchNorm's being much better."""
    claims = claims_of(compare_networks(runs))
    assert "".join(RULINGS[claim.all_runs.ruling] for claim in claims) == over_all
    assert "".join(RULINGS[claim.trained.ruling] for claim in claims) == over_trained
    assert any(claim.readings_differ for claim in claims) == (over_all != over_trained)


def test_claim_of_a_conjunction_needs_the_largest_p_and_against_it_the_smallest_corrected() -> None:
    """BatchNorm is clearly better than the MLP; MaxPool barely, and then worse: one suffices to refute."""
    claim = claim_on(with_maxpool(*maxpool(0.9501)), "test better")
    batchnorm, close = (difference.p("trained") for difference in claim.evidence)
    assert batchnorm < 0.001 < close
    assert claim.trained.p == pytest.approx(close)  # the last of Holm's steps
    assert claim.trained.ruling == "undecided"
    refuted = claim_on(with_maxpool(*maxpool(0.9496)), "test better")
    assert refuted.trained.ruling == "not supported"
    # Either of the two could have been the worse one.
    assert refuted.trained.p == pytest.approx(2 * refuted.evidence[1].p("trained"))


def test_winner_is_certainly_ahead_in_both_readings() -> None:
    assert winner(compare(as_claimed(8))) == "batchnorm"
    assert winner(compare(as_claimed(8, collapsed=3))) == "batchnorm"
    assert winner(compare(as_claimed(2))) is None
    often = [run for run in as_claimed(8, collapsed=5) if run.arch != "batchnorm"]  # ahead only where it trains
    assert winner(compare(often)) is None

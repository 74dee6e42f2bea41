"""Verdicts on the notebook's claims follow from the numbers, whatever the runs look like."""

from dataclasses import replace

import pytest

from convblocks.compare.analysis import compare
from convblocks.record.result import RunResult
from lab.claims import claims_of
from lab.differences import training_loss, winner
from tests.made_up import COURSES, PARAMETERS, as_claimed, result, short

RULINGS = {"supported": "+", "not supported": "-", "undecided": "?", "too few runs": "n"}

LARGER = [
    replace(run, parameters=88_000) if run.arch == "maxpool" else run for run in as_claimed(7)
]
SCHEDULED = [
    result(arch, seed, 0.98, epochs=epochs, hparams={"lr_scheduler": "onecycle"})
    for arch, epochs in COURSES.items()
    for seed in range(7)
]


@pytest.mark.parametrize(
    ("runs", "over_all", "over_trained"),
    [
        pytest.param(as_claimed(7), "+++++", "+++++", id="seven runs as claimed"),
        pytest.param(
            [
                short(run.arch, run.seed, 1.9 - run.score, 0.25 - training_loss(run, -1))
                for run in as_claimed(7)
            ],
            *["+----", "+----"],
            id="the other way round",
        ),
        pytest.param(
            [short(arch, seed, 0.97) for arch in PARAMETERS for seed in range(7)],
            "+???-",
            "+???-",
            id="equal networks",
        ),
        pytest.param(as_claimed(8, collapsed=3), "+???+", "+++++", id="three of eight collapsed"),
        pytest.param(
            [short(arch, seed, 0.1) for arch in PARAMETERS for seed in range(6)],
            "+????",
            "+nnnn",
            id="none trained",
        ),
        pytest.param(LARGER, "-++++", "-++++", id="larger"),
        pytest.param(SCHEDULED, "++??-", "++??-", id="with a schedule"),
    ],
)
def test_claims_over_all_and_over_trained_runs(
    runs: list[RunResult], over_all: str, over_trained: str
) -> None:
    """On equal numbers of parameters, speed, loss, accuracy, and BatchNorm's being much better."""
    claims = claims_of(compare(runs))
    assert "".join(RULINGS[claim.rulings["all"]] for claim in claims) == over_all
    assert "".join(RULINGS[claim.rulings["trained"]] for claim in claims) == over_trained
    assert any(claim.readings_differ for claim in claims) == (over_all != over_trained)


def test_winner_is_certainly_ahead_in_both_readings() -> None:
    assert winner(compare(as_claimed(8))) == "batchnorm"
    assert winner(compare(as_claimed(8, collapsed=3))) == "batchnorm"
    assert winner(compare(as_claimed(2))) is None
    # Ahead only where it trains.
    often = [run for run in as_claimed(8, collapsed=5) if run.arch != "batchnorm"]
    assert winner(compare(often)) is None

"""What the explanation of the collapse predicts, and when it counts as refuted."""

from functools import partial

import pytest

from convblocks.record.result import RunResult
from lab.mechanism import DECISIVE_STEP, by_variant, dead_at, depth_of, predictions, tells_apart
from lab.preactivations import FACT, STEPS
from tests.made_up import result


def run(
    overrides: tuple[tuple[str, str], ...],
    seed: int,
    fall: float,
    fails: bool,
    accuracy: float = 0.9,
) -> RunResult:
    """A run of which the mean of block 2 falls by so much in each step, at a spread of 2."""
    means = [[0.0, -fall * step, 0.0] for step in range(STEPS)]
    facts = {
        FACT: {"mean": means, "spread": [[1.0, 2.0, 1.0]] * STEPS, "dead": [[0.0] * 3] * STEPS}
    }
    return result("blocks", seed, 0.1 if fails else accuracy, overrides, facts=facts)


def runs(**collapsing: int) -> list[RunResult]:
    """Forty runs of each variant, as the explanation predicts them unless so many
    others collapse.
    """
    counts = {
        "0.001": 0,
        "0.003": 2,
        "0.01": 14,
        "0.03": 38,
        "asymmetric": 13,
        "frozen-biases": 15,
        "sgd-0.1": 0,
    }
    counts |= {"batch-norm": 0} | collapsing
    found = []
    for variant, count in counts.items():
        is_rate = variant[0].isdigit()
        fall = 0.0 if variant == "batch-norm" else 20 * float(variant) if is_rate else 0.2
        overrides = (
            (("lr", variant),) if is_rate else (("config", f"docs/data/why/{variant}.yaml"),)
        )
        found += [
            run(overrides, seed, fall + 0.001 * (seed < count), seed < count) for seed in range(40)
        ]
    return found


def test_depth_is_the_mean_divided_by_the_spread() -> None:
    assert depth_of(run((("lr", "1e-2"),), 0, 0.4, False))[DECISIVE_STEP] == pytest.approx(-1.0)


def test_predictions_hold_where_runs_are_as_predicted() -> None:
    assert all(predictions(by_variant(runs())).values())


@pytest.mark.parametrize(
    ("variant", "count", "prediction"),
    [
        ("frozen-biases", 0, "frozen biases collapse as before"),
        ("asymmetric", 0, "asymmetric initial weights collapse as before"),
        ("sgd-0.1", 14, "SGD collapses less often where it learns as fast"),
        ("batch-norm", 5, "with batch normalisation the mean stays near 0, and none collapses"),
    ],
)
def test_prediction_fails_where_runs_are_otherwise(
    variant: str, count: int, prediction: str
) -> None:
    found = predictions(by_variant(runs(**{variant: count})))
    assert [name for name, holds in found.items() if not holds] == [prediction]


def test_depth_tells_runs_that_collapse_from_the_others() -> None:
    found = tells_apart(by_variant(runs())["0.01"])
    assert found is not None
    assert found.value == 1
    assert tells_apart(by_variant(runs())["0.001"]) is None


def test_any_value_can_tell_them_apart() -> None:
    found = tells_apart(by_variant(runs())["0.01"], partial(dead_at, DECISIVE_STEP))
    assert found is not None
    assert found.value == 0.5  # no unit of any run is dead

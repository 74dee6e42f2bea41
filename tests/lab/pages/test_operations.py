"""The analysis of the interventions and of the factorial."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from convblocks.run.result import RunResult
from lab.pages.operations import contrast, effects_of, factorial_sentence, interventions_sentence, prevention, split
from tests.made_up import CHANCE, course, result

BLOCKS = "convblocks.BlockNetwork"


def variants(collapsed: dict[str, int], runs: int = 40) -> list[RunResult]:
    """Runs of each variant; ``collapsed`` says how many collapsed."""
    rows = tuple(row | {"dead/relu1": 0.5} for row in course(0.9))
    return [
        result(BLOCKS, seed, CHANCE if seed < count else 0.95, (("config", f"some/{name}.yaml"),), rows)
        for name, count in collapsed.items()
        for seed in range(runs)
    ]


def test_prevention_is_decided_by_fishers_test_and_holms_correction() -> None:
    """The p of 13 against 1 of 40 is 0.0007, of 13 against 10 0.62; more collapses are significant too, but no help."""
    runs = variants({"as-is": 13, "warm-up": 1, "leaky-relu": 10, "smaller-weights": 30})
    assert interventions_sentence(runs) == (
        "In an experiment of 40 runs each, 13 of MaxPool collapse at the notebook's setting within 300 steps. "
        "Significantly fewer collapse with 100 steps of warm-up (1). Significantly more collapse with smaller initial "
        "weights (30). Undecided: LeakyReLU (10)."
    )
    three = {name: [run for run in runs if name in str(run.overrides)] for name in ("as-is", "warm-up", "leaky-relu")}
    expected = [stats.fisher_exact(np.array([[13, 27], [count, 40 - count]])).pvalue for count in (1, 10)]
    assert list(prevention(three).values()) == pytest.approx([2 * expected[0], expected[1]])


def test_contrast_of_two_means_is_welchs_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(1, 1, 6).tolist(), rng.normal(0, 3, 9).tolist()
    single, welch = contrast([first, second], [1, -1], 1), stats.ttest_ind(first, second, equal_var=False)
    assert (single.low, single.high) == pytest.approx(tuple(welch.confidence_interval()))
    assert single.p == pytest.approx(welch.pvalue)
    seven = contrast([first, second], [1, -1], 7)
    assert seven.high - seven.low > single.high - single.low
    assert seven.p == pytest.approx(min(1, 7 * welch.pvalue))


def design(runs: int = 6) -> list[RunResult]:
    """MaxPool adds 0.4 points, batch normalisation 0.2, and 0.1 more where there is MaxPool; averaging adds nothing."""
    results = []
    for downsampling, normalisation, head in product(("maxpool", "stride"), ("none", "batch"), ("flatten", "average")):
        levels = {"downsampling": downsampling, "normalisation": normalisation, "head": head}
        overrides = tuple((f"network.{name}", level) for name, level in levels.items())
        is_pool, is_batch = downsampling == "maxpool", normalisation == "batch"
        accuracy = 0.98 + 0.004 * is_pool + 0.002 * is_batch + 0.001 * is_pool * is_batch
        held_out = (("data.val_size", "5000"), ("lr", "1e-3"))
        results += [result(BLOCKS, seed, 0.5, (*overrides, *held_out), validation=0.97) for seed in (0, 1)]
        results += [
            result(BLOCKS, seed, accuracy + 0.0001 * (-1) ** seed, (*overrides, ("lr", "1e-3")))
            for seed in range(2, 2 + runs)
        ]
    return results


def test_effects_are_those_that_the_design_was_made_with() -> None:
    """An interaction is half of the change of one effect with the other."""
    effects = effects_of(split(design())[1])
    points = {name: round(100 * effect.value, 6) for name, effect in effects.items()}
    pool, batch, average = "MaxPool instead of stride 2", "batch normalisation", "averaging instead of flattening"
    assert {name: value for name, value in points.items() if value} == {
        pool: 0.45,
        batch: 0.25,
        "MaxPool x batch normalisation": 0.05,
    }
    assert len(effects) == 7
    assert effects[average].low < 0 < effects[average].high
    assert factorial_sentence(design()).startswith(f"At tuned rates {pool} is worth +0.45 points [")

"""Why MaxPool collapses: the analysis of what reaches the ReLUs, as
docs/lab/protocol-operations.md lays it down.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convblocks.compare.analysis import trained_scores
from convblocks.compare.statistics import SIGNIFICANCE, superiority
from convblocks.figures.estimates import Estimate
from convblocks.figures.grouping import grouped
from convblocks.record.result import RunResult
from lab.preactivations import FACT
from lab.results import collapses
from lab.statistics import fisher_against

# The notebook's rate, with which the other variants are compared.
NOTEBOOK_RATE = "0.01"

# The step at which the protocol looks, counted from 0: after five updates.
DECISIVE_STEP = 5

# Predictions in words: these are two of variants that collapse as often as without the change.
FALLS = "block 2 falls further at higher rates"
AS_BEFORE = {
    "frozen-biases": "frozen biases collapse as before",
    "asymmetric": "asymmetric initial weights collapse as before",
}

# Blocks are counted from 0.
BLOCK = 1


def by_variant(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """The runs of each learning rate, ``0.01``, and of each other change, ``asymmetric``."""
    return grouped(results, variant_of)


def variant_of(run: RunResult) -> str:
    overrides = dict(run.overrides)
    if "config" in overrides:
        return Path(overrides["config"]).stem
    return f"{float(overrides['lr']):g}"


def rates_of(runs: Mapping[str, Sequence[RunResult]]) -> list[str]:
    """The variants that are learning rates, in ascending order."""
    return sorted((variant for variant in runs if variant[0].isdigit()), key=float)


def depth_of(run: RunResult) -> NDArray[np.float64]:
    """How far below 0 the pre-activations of block 2 lie at each step: their mean
    divided by their spread, (steps,).
    """
    measures = run.facts[FACT]
    mean, spread = (np.array(measures[name])[:, BLOCK] for name in ("mean", "spread"))
    depth: NDArray[np.float64] = mean / np.maximum(spread, 1e-12)
    return depth


def fall_of(run: RunResult) -> float:
    """How far block 2 has fallen by the decisive step."""
    return -float(depth_of(run)[DECISIVE_STEP])


def dead_at(step: int, run: RunResult) -> float:
    """The share of block 2's units without a positive value in that step's batch."""
    share: float = run.facts[FACT]["dead"][step][BLOCK]
    return share


def medians(runs: Sequence[RunResult]) -> NDArray[np.float64]:
    """The median of runs at each step: (steps,)."""
    return np.median(np.stack([depth_of(run) for run in runs]), axis=0)


def tells_apart(
    runs: Sequence[RunResult], value: Callable[[RunResult], float] = fall_of
) -> Estimate | None:
    """How well a value tells the runs that collapse from the others.

    The probability that one that collapses has the higher value; None if all collapse,
    or none does.
    """
    dying, living = (
        [value(run) for run in runs if run.failed is failed] for failed in (True, False)
    )
    return superiority(dying, living) if dying and living else None


def predictions(runs: Mapping[str, Sequence[RunResult]]) -> dict[str, bool]:
    """The protocol's predictions in words, and whether each holds: "as before" unless the
    test finds a difference, or none collapses.
    """
    rates = rates_of(runs)
    p_values = fisher_against(runs, NOTEBOOK_RATE)
    counts = {variant: collapses(own) for variant, own in runs.items()}
    depths = {variant: float(medians(own)[DECISIVE_STEP]) for variant, own in runs.items()}
    by_rate = [depths[rate] for rate in rates]
    falling = stats.spearmanr(range(len(rates)), by_rate, alternative="less")
    outcomes = [(float(rate), run.failed) for rate in rates for run in runs[rate]]
    collapsing = stats.spearmanr(outcomes, alternative="greater")
    found = {
        FALLS: float(falling.pvalue) < SIGNIFICANCE,
        "more runs collapse at higher rates": float(collapsing.pvalue) < SIGNIFICANCE,
    }
    for name, prediction in AS_BEFORE.items():
        found[prediction] = counts[name] > 0 and p_values[name] >= SIGNIFICANCE
    as_fast = _as_fast_as_before(runs)
    found["SGD collapses less often where it learns as fast"] = bool(as_fast) and all(
        counts[name] < counts[NOTEBOOK_RATE] and p_values[name] < SIGNIFICANCE for name in as_fast
    )
    is_near = abs(depths["batch-norm"]) < abs(depths[NOTEBOOK_RATE]) / 2
    found["with batch normalisation the mean stays near 0, and none collapses"] = (
        is_near and counts["batch-norm"] == 0
    )
    return found


def _as_fast_as_before(runs: Mapping[str, Sequence[RunResult]]) -> list[str]:
    """The variants with SGD whose runs that trained get at least as much right as those
    at the notebook's rate, by their medians.
    """
    found = []
    wanted = median(trained_scores(runs[NOTEBOOK_RATE]))
    for name, own in runs.items():
        accuracies = trained_scores(own)
        if name.startswith("sgd") and accuracies and median(accuracies) >= wanted:
            found.append(name)
    return found

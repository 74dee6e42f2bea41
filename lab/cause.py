"""Is the shared sign of updates the cause? The analysis is that of docs/lab/protocol-cause.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import quantile_test

from convblocks.compare.statistics import SIGNIFICANCE, holm
from convblocks.figures.estimates import CONFIDENCE, POINTS, Estimate
from convblocks.figures.grouping import grouped
from convblocks.run.result import RunResult
from lab.by_seed import ARMS
from lab.mechanism import BLOCK
from lab.preactivations import FACT
from lab.statistics import mcnemar_p

RATES = ("1e-2", "2e-2")

# After all changed updates, and after 19 more.
STEP, LATE_STEP = 10, 29

CENTRED, SHRUNK, RANDOM = (f"{change}-block-2" for change in ("centred", "shrunk", "random"))
ELSEWHERE = ("centred-block-1", "centred-block-3", "centred-head")

# With which centring block 2 is compared, at each rate.
OTHERS = ("as-is", SHRUNK, RANDOM, *ELSEWHERE)

# Of an arm, in the order of seeds.
Runs = Mapping[str, Sequence[RunResult]]

Verdict = Literal["supported", "supported at the notebook's rate", "refuted", "undecided"]


@dataclass(frozen=True)
class Finding:
    """What one rate's runs say: which predictions hold, and what refutes the explanation.

    ``differences`` are those of other arms minus centred-block-2, in the share of dead units
    of block 2.
    """

    predictions: Mapping[str, bool]
    refutations: tuple[str, ...]
    differences: Mapping[str, Estimate]


def complete_arms(results: Sequence[RunResult]) -> dict[str, Runs]:
    """The runs of each rate by arm, of the seeds of which all arms are there, in their order."""
    counts = grouped(results, lambda run: run.seed)
    whole = {seed for seed, runs in counts.items() if len(runs) == len(ARMS) * len(RATES)}
    runs = sorted((run for run in results if run.seed in whole), key=lambda run: run.seed)
    by_rate = grouped(runs, lambda run: dict(run.overrides)["lr"])
    return {rate: grouped(by_rate[rate], arm_of) for rate in RATES}


def arm_of(run: RunResult) -> str:
    return Path(dict(run.overrides)["config"]).stem


def dead(runs: Sequence[RunResult], step: int = STEP, block: int = BLOCK) -> NDArray[np.float64]:
    """The share of dead units of each run at a step: (runs,). Blocks are counted from 0."""
    return np.array([run.facts[FACT]["dead"][step][block] for run in runs])


def difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> Estimate:
    """The median of first minus second within seeds: both (seeds,).

    With the interval of order statistics, and the p of the sign test, which leaves out ties.
    """
    differences = first - second
    found: Any = quantile_test(differences, q=0, p=0.5)
    interval = found.confidence_interval(CONFIDENCE)
    p = mcnemar_p(int((differences > 0).sum()), int((differences < 0).sum()))
    value, low, high = (float(end) for end in (np.median(differences), *interval))
    return Estimate(value, low, high, len(differences), p, POINTS)


def findings(results: Sequence[RunResult]) -> dict[str, Finding]:
    """What is found at each rate, after Holm's correction over the pairs of both."""
    rates = complete_arms(results)
    pairs = [(rate, other) for rate in RATES for other in OTHERS]
    found = {
        (rate, other): difference(dead(rates[rate][other]), dead(rates[rate][CENTRED]))
        for rate, other in pairs
    }
    p_values = dict(zip(pairs, holm([found[pair].p for pair in pairs]), strict=True))
    return {
        rate: _finding(
            {arm: median(dead(runs)) for arm, runs in rates[rate].items()},
            {other: found[rate, other] for other in OTHERS},
            {other: p_values[rate, other] for other in OTHERS},
        )
        for rate in RATES
    }


def _finding(
    medians: Mapping[str, float], differences: Mapping[str, Estimate], p_values: Mapping[str, float]
) -> Finding:
    as_is = medians["as-is"]
    lower = {
        other for other in OTHERS if differences[other].value > 0 and p_values[other] < SIGNIFICANCE
    }
    elsewhere = [medians[arm] for arm in ELSEWHERE]
    predictions = {
        "centring block 2 prevents the dying": "as-is" in lower and medians[CENTRED] <= as_is / 4,
        "it is not the length": SHRUNK in lower,
        "it is not any direction": RANDOM in lower and medians[RANDOM] >= 3 / 4 * as_is,
        "it is block 2's own updates": lower >= set(ELSEWHERE) and min(elsewhere) >= as_is / 2,
    }
    refutations = {
        "units die without the common movement": medians[CENTRED] > as_is / 2,
        "the length is enough": differences[SHRUNK].low <= 0,
        "any direction does": medians[RANDOM] <= as_is / 2,
        "it is not block 2's own movement": min(elsewhere) <= as_is / 4,
    }
    refuting = tuple(words for words, is_so in refutations.items() if is_so)
    return Finding(predictions, refuting, differences)


def verdict(found: Mapping[str, Finding]) -> Verdict:
    """The protocol's, from the findings at both rates."""
    notebooks, other = (found[rate] for rate in RATES)
    if notebooks.refutations:
        return "refuted"
    if not all(notebooks.predictions.values()):
        return "undecided"
    holds = all(other.predictions.values())
    return "supported" if holds else "supported at the notebook's rate"


def collapses(results: Sequence[RunResult]) -> dict[str, tuple[int, int, float]]:
    """At each rate how many runs collapse as they are and with block 2 centred, and McNemar's p.

    After Holm's correction over the rates.
    """
    counts = {}
    for rate, arms in complete_arms(results).items():
        as_is, centred = (np.array([run.failed for run in arms[arm]]) for arm in ("as-is", CENTRED))
        p = mcnemar_p(int((as_is & ~centred).sum()), int((centred & ~as_is).sum()))
        counts[rate] = int(as_is.sum()), int(centred.sum()), p
    p_values = holm([p for *_, p in counts.values()])
    return {
        rate: (first, second, p)
        for (rate, (first, second, _)), p in zip(counts.items(), p_values, strict=True)
    }

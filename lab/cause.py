"""Is the shared sign of updates the cause? The analysis is that of docs/lab/protocol-cause.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convblocks.compare.statistics import SIGNIFICANCE, holm
from convblocks.figures.estimates import Estimate, Unit
from convblocks.figures.grouping import grouped
from convblocks.record.result import RunResult
from lab import centred_updates
from lab.by_seed import ARMS
from lab.mechanism import BLOCK, by_variant
from lab.preactivations import FACT
from lab.results import collapses, rate_of
from lab.statistics import after_holm, mcnemar_p, median_interval, sign_p

RATES = ("0.01", "0.02")

# How many seeds all arms are to have.
SEEDS = 40

# After all changed updates, and after 19 more.
STEP, LATE_STEP = 10, 29

AS_IS = "as-is"
CENTRED, SHRUNK, RANDOM = (f"{change}-block-2" for change in ("centred", "shrunk", "random"))
FIRST, THIRD, SHRUNK_THIRD = "centred-block-1", "centred-block-3", "shrunk-block-3"
ELSEWHERE = (FIRST, THIRD, "centred-head")

# What the protocol does not name.
UNREGISTERED = "(not registered)"

# A unit of block 2 is 1.6 points.
DEAD_UNITS = Unit(100, 1, " points")

# That centring block 2 prevents the dying, and until the last step.
PREVENTS = "centring block 2 prevents the dying"
LASTS = f"centring still prevents it at step {LATE_STEP}"

# With which centring block 2 is compared, at each rate.
OTHERS = (AS_IS, SHRUNK, RANDOM, *ELSEWHERE)

# Of an arm, in the order of seeds.
Runs = Mapping[str, Sequence[RunResult]]

Verdict = Literal["supported", "supported at the notebook's rate", "refuted", "undecided"]


@dataclass(frozen=True)
class Finding:
    """What one rate's runs say: which predictions hold, and what refutes the explanation.

    ``differences`` are in the share of dead units: of block 2 in other arms minus centred-block-2,
    and others, which have names.
    """

    predictions: Mapping[str, bool]
    refutations: tuple[str, ...]
    differences: Mapping[str, Estimate]


def complete_arms(results: Sequence[RunResult]) -> dict[str, Runs]:
    """The runs of each rate by arm, of the seeds of which all arms are there, in their order."""
    seeds = grouped(results, lambda run: run.seed)
    wanted = len(ARMS) * len(RATES)
    whole = [run for seed in sorted(seeds) if len(seeds[seed]) == wanted for run in seeds[seed]]
    return arms_of(whole)


def arms_of(runs: Sequence[RunResult]) -> dict[str, Runs]:
    """The runs of each rate by arm, in their order."""
    by_rate = grouped(runs, lambda run: f"{float(rate_of(run)):g}")
    return {rate: by_variant(by_rate[rate]) for rate in RATES}


def dead(runs: Sequence[RunResult], step: int = STEP, block: int = BLOCK) -> NDArray[np.float64]:
    """The share of dead units of each run at a step: (runs,). Blocks are counted from 0."""
    return np.array([run.facts[FACT]["dead"][step][block] for run in runs])


def median_dead(runs: Sequence[RunResult], step: int = STEP, block: int = BLOCK) -> float:
    return float(np.median(dead(runs, step, block)))


def mean_shares(runs: Sequence[RunResult]) -> NDArray[np.float64]:
    """The share of a unit's squared length that its mean has, from the second update: (runs, 9)."""
    shares = [run.facts[centred_updates.FACT]["mean"] for run in runs]
    return np.array(shares)[:, 1:, 0]


def difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> Estimate:
    """The median of first minus second within seeds: both (seeds,).

    With the interval of order statistics, and the p of the sign test, which leaves out ties.
    """
    differences = first - second
    p = sign_p(int((differences > 0).sum()), int((differences < 0).sum()))
    return replace(median_interval(differences), p=p, unit=DEAD_UNITS)


def findings(results: Sequence[RunResult]) -> dict[str, Finding]:
    """What is found at each rate, after Holm's correction over the pairs of both."""
    rates = complete_arms(results)
    leads = [more(arms, other, CENTRED) for arms in rates.values() for other in OTHERS]
    corrected = iter(after_holm(leads))
    return {
        rate: _finding(arms, {other: next(corrected) for other in OTHERS})
        for rate, arms in rates.items()
    }


def more(arms: Runs, first: str, second: str, step: int = STEP, block: int = BLOCK) -> Estimate:
    """How much more of a block is dead in the first arm than in the second."""
    return difference(*(dead(arms[arm], step, block) for arm in (first, second)))


def _finding(arms: Runs, leads: Mapping[str, Estimate]) -> Finding:
    medians = {arm: median_dead(runs) for arm, runs in arms.items()}
    as_is = medians[AS_IS]
    lower = {other for other, lead in leads.items() if is_more(lead)}
    elsewhere = [medians[arm] for arm in ELSEWHERE]
    predictions = {
        PREVENTS: AS_IS in lower and medians[CENTRED] <= as_is / 4,
        "it is not the length alone": SHRUNK in lower,
        "removing a random direction does nothing": (
            RANDOM in lower and medians[RANDOM] >= 3 / 4 * as_is
        ),
        "it is mostly block 2's own updates": lower >= set(ELSEWHERE)
        and min(elsewhere) >= as_is / 2,
    }
    refutations = {
        "units die without the common movement": medians[CENTRED] > as_is / 2,
        "the length is enough": leads[SHRUNK].low <= 0,
        "any direction does": medians[RANDOM] <= as_is / 2,
        "it is not block 2's own movement": min(elsewhere) <= as_is / 4,
    }
    refuting = tuple(words for words, is_so in refutations.items() if is_so)
    return Finding(predictions, refuting, leads)


def beside(results: Sequence[RunResult]) -> dict[str, Finding]:
    """What is found at each rate that decides nothing, without correction but for collapses."""
    p_values = collapse_p(results)
    rates = complete_arms(results)
    return {rate: _beside(arms, p_values[rate]) for rate, arms in rates.items()}


def _beside(arms: Runs, p_of_collapses: float) -> Finding:
    late, late_shrunk = (more(arms, other, CENTRED, LATE_STEP) for other in (AS_IS, SHRUNK))
    third, third_shrunk = (more(arms, other, THIRD, block=2) for other in (AS_IS, SHRUNK_THIRD))
    as_is, centred = (median_dead(arms[arm], LATE_STEP) for arm in (AS_IS, CENTRED))
    first, first_centred = (median_dead(arms[arm], block=0) for arm in (AS_IS, FIRST))
    fewer = collapses(arms[CENTRED]) < collapses(arms[AS_IS])
    shares = np.median(mean_shares(arms[RANDOM]), axis=0)
    predictions = {
        LASTS: is_more(late) and centred <= as_is / 4,
        f"it is not the length alone, at step {LATE_STEP}": is_more(late_shrunk),
        "fewer runs collapse": fewer and p_of_collapses < SIGNIFICANCE,
        "centring block 3 lowers its own share": is_more(third) and is_more(third_shrunk),
        "centring block 1 hardly changes its own share": abs(first - first_centred) < 0.1,
        "the mean has more than half of the squared length": bool(min(shares) > 1 / 2),
    }
    differences = {
        f"{AS_IS}, step {LATE_STEP}": late,
        f"{SHRUNK}, step {LATE_STEP}": late_shrunk,
        f"block 1: {AS_IS} minus {FIRST}": more(arms, AS_IS, FIRST, block=0),
        f"block 3: {AS_IS} minus {THIRD}": third,
        f"block 3: {SHRUNK_THIRD} minus {THIRD}": third_shrunk,
        f"block 3: {AS_IS} minus {CENTRED} {UNREGISTERED}": more(arms, AS_IS, CENTRED, block=2),
        f"block 2: {AS_IS} minus {SHRUNK} {UNREGISTERED}": more(arms, AS_IS, SHRUNK),
        f"block 2: {AS_IS} minus {THIRD} {UNREGISTERED}": more(arms, AS_IS, THIRD),
    }
    return Finding(predictions, (), differences)


def is_more(found: Estimate) -> bool:
    """Whether a difference is positive, and significant."""
    return found.value > 0 and found.p < SIGNIFICANCE


def verdict(found: Mapping[str, Finding]) -> Verdict:
    """The protocol's, from the findings at both rates."""
    notebooks, other = (found[rate] for rate in RATES)
    if notebooks.refutations:
        return "refuted"
    if not all(notebooks.predictions.values()):
        return "undecided"
    if all(other.predictions.values()):
        return "supported"
    return "supported at the notebook's rate"


def collapse_p(results: Sequence[RunResult]) -> dict[str, float]:
    """McNemar's p at each rate, whether fewer runs collapse with block 2 centred than as they are.

    After Holm's correction over the rates.
    """
    rates = complete_arms(results)
    p_values = [mcnemar_p(arms[AS_IS], arms[CENTRED]) for arms in rates.values()]
    return dict(zip(rates, holm(p_values), strict=True))

"""What finished runs say of the networks: a row for each, their differences, and verdicts on the notebook's claims.

Everything is read in two ways. "What to expect" of a run that is started now: collapsed runs count, as the worst, and
the statistic is one of ranks. "Given that it trains": collapsed runs are left out, and means are compared.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from convblocks.comparison.outcomes import Images, RunResult, by_arch, mean_validation, time_to
from convblocks.comparison.statistics import (
    SIGNIFICANCE,
    Mean,
    Superiority,
    Test,
    holm,
    least_p_unpaired,
    mean_interval,
    permutation_test,
    superiority,
    wilson_interval,
)
from convblocks.comparison.trials import Settings
from convblocks.model.optimizers import CONSTANT

Measure = Literal["first_loss", "last_loss", "seconds_to_goal", "accuracy"]
Verdict = Literal["supported", "not supported", "undecided", "n is too small"]
Which = Literal["expected", "trained"]

# "Roughly equal": the largest network has at most a tenth more parameters than the smallest. Our threshold.
ROUGHLY_EQUAL = 1.1

# "Much better": by more than one point of accuracy. Our threshold too.
MUCH = 0.01

# What is faster is told by the time to this accuracy, where the loss of the first epoch tells of the schedule.
GOAL = 0.98

CLAIMED = ("mlp", "maxpool", "batchnorm")


@dataclass(frozen=True)
class Row:
    """One network at one setting; means are of the runs that trained, None where none has.

    ``collapsed_at`` has the accuracies of those that did not, of which ``diverged`` had no finite loss any more;
    ``validation`` is the mean accuracy by which settings are chosen, ``seconds`` the median time of a run.
    """

    arch: str
    settings: Settings
    parameters: int
    seconds: float
    runs: int
    trained: int
    trained_interval: tuple[float, float]
    first_loss: Mean | None
    last_loss: Mean | None
    accuracy: Mean | None
    worst: float | None
    best: float | None
    collapsed_at: tuple[float, ...]
    diverged: int
    validation: float | None


@dataclass(frozen=True)
class Difference:
    """How two networks differ in one measure.

    ``expected`` is the probability that a run of the first is better than one of the second by more than the margin;
    ``trained`` the difference of means, first minus second, None where either has no run that trained. Of runs that
    trained but never reached the goal there is no mean time, and ``trained`` is a probability too.
    """

    measure: Measure
    first: str
    second: str
    margin: float
    expected: Superiority
    trained: Test | Superiority | None
    runs: tuple[int, int]
    trained_runs: tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """A verdict and, where a test stands behind it, the p-value after Holm's correction over the claims."""

    verdict: Verdict
    p: float | None


@dataclass(frozen=True)
class Claim:
    """A claim of the notebook, the verdicts on it, and the differences on which they rest."""

    text: str
    expected: Reading
    trained: Reading
    evidence: tuple[Difference, ...]


@dataclass(frozen=True)
class Comparison:
    """Networks against each other, each at one setting, on the same images; ``baseline`` is the first of them."""

    images: Images
    baseline: str
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    claims: tuple[Claim, ...]


def compare(outcomes: Sequence[RunResult]) -> Comparison:
    """Compare the networks among runs that have at most one setting for each.

    The notebook's networks come first, in its order; of two networks the later one is the first of a difference.
    """
    found = by_arch(outcomes)
    runs = {arch: found[arch] for arch in sorted(found, key=_place)}
    faster: Measure = "first_loss" if {one.schedule for one in outcomes} == {CONSTANT} else "seconds_to_goal"
    measures: tuple[Measure, ...] = (faster, "last_loss", "accuracy")
    differences = tuple(
        difference(measure, runs[first], runs[second])
        for measure in measures
        for first, second in combinations(reversed(runs), 2)
    )
    return Comparison(
        images=outcomes[0].images,
        baseline=next(iter(runs)),
        rows=tuple(row_of(own) for own in runs.values()),
        differences=differences,
        claims=_claims(runs, differences) if set(CLAIMED) <= set(runs) else (),
    )


def row_of(outcomes: Sequence[RunResult]) -> Row:
    """The row of one network's runs at one setting."""
    trained = [one for one in outcomes if not one.collapsed]
    accuracies = [one.accuracy for one in trained]
    seconds = sorted(one.seconds for one in outcomes)
    return Row(
        arch=outcomes[0].arch,
        settings=outcomes[0].settings,
        parameters=outcomes[0].parameters,
        seconds=(seconds[(len(seconds) - 1) // 2] + seconds[len(seconds) // 2]) / 2,
        runs=len(outcomes),
        trained=len(trained),
        trained_interval=wilson_interval(len(trained), len(outcomes)),
        first_loss=_mean([one.first_loss for one in trained]),
        last_loss=_mean([one.last_loss for one in trained]),
        accuracy=_mean(accuracies),
        worst=min(accuracies, default=None),
        best=max(accuracies, default=None),
        collapsed_at=tuple(sorted(one.accuracy for one in outcomes if one.collapsed)),
        diverged=sum(not math.isfinite(one.last_loss) for one in outcomes),
        validation=None if any(one.validation is None for one in outcomes) else mean_validation(outcomes),
    )


def difference(
    measure: Measure, first: Sequence[RunResult], second: Sequence[RunResult], margin: float = 0.0
) -> Difference:
    """How the runs of two networks differ, unpaired: the same seed makes two networks no more alike."""
    one, other = (_values(runs, measure) for runs in (first, second))
    one_trained, other_trained = ([value for value in values if not math.isnan(value)] for values in (one, other))
    result: Test | Superiority | None = None
    if one_trained and other_trained:
        if all(map(math.isfinite, one_trained + other_trained)):
            result = permutation_test(one_trained, other_trained, margin=margin)
        else:
            result = _ranks(measure, one_trained, other_trained, margin)
    return Difference(
        measure=measure,
        first=first[0].arch,
        second=second[0].arch,
        margin=margin,
        expected=_ranks(measure, one, other, margin),
        trained=result,
        runs=(len(one), len(other)),
        trained_runs=(len(one_trained), len(other_trained)),
    )


def is_better(one: Difference, which: Which) -> bool:
    """Whether the first of two networks is better than the second, by more than the margin."""
    result = one.expected if which == "expected" else one.trained
    if isinstance(result, Test):
        return (result.difference - one.margin) * _sign(one.measure) > 0
    return result is not None and result.probability > 0.5


def p_of(one: Difference, which: Which) -> float:
    """The p-value of a difference, 1 where there is nothing to compare."""
    result = one.expected if which == "expected" else one.trained
    return 1.0 if result is None else result.p


def enough_runs(claims: int) -> int:
    """With how many runs of each network that many claims can be decided if all runs agree."""
    n = 1
    while claims * least_p_unpaired(n, n) >= SIGNIFICANCE:
        n += 1
    return n


def meets(goal: float, mean: Mean | None) -> bool:
    """Whether a goal is met: the lower end of the 95 % interval of the mean, and not the mean alone, is above it."""
    return mean is not None and mean.low > goal


def _mean(values: Sequence[float]) -> Mean | None:
    return mean_interval(values) if values else None


def _sign(measure: Measure) -> int:
    return 1 if measure == "accuracy" else -1


def _values(outcomes: Sequence[RunResult], measure: Measure) -> list[float]:
    """A measure of each run: nan of one that collapsed, infinite for the time to what was never reached."""
    return [math.nan if one.collapsed else _value(one, measure) for one in outcomes]


def _value(outcome: RunResult, measure: Measure) -> float:
    if measure != "seconds_to_goal":
        return float(getattr(outcome, measure))
    found = time_to(outcome, GOAL)
    return found[1] if found else math.inf


def _ranks(measure: Measure, first: Sequence[float], second: Sequence[float], margin: float) -> Superiority:
    """The probability that the first is better; runs that collapsed or never got there tie as the worst."""
    sign = _sign(measure)
    one = [sign * value - margin if math.isfinite(value) else -math.inf for value in first]
    other = [sign * value if math.isfinite(value) else -math.inf for value in second]
    return superiority(one, other)


def _place(arch: str) -> int:
    return CLAIMED.index(arch) if arch in CLAIMED else len(CLAIMED)


def _claims(runs: dict[str, list[RunResult]], differences: Sequence[Difference]) -> tuple[Claim, ...]:
    """The notebook's five claims."""
    counts = [runs[arch][0].parameters for arch in CLAIMED]
    equal = Reading("supported" if max(counts) <= ROUGHLY_EQUAL * min(counts) else "not supported", None)
    faster, lower, better = (
        tuple(one for one in differences if one.measure == measure and one.second == "mlp" and one.first in CLAIMED)
        for measure in dict.fromkeys(one.measure for one in differences)
    )
    evidence = {
        "Both convolutional networks train faster than the MLP": faster,
        "Both convolutional networks converge to a lower loss": lower,
        "Both convolutional networks test better than the MLP": better,
        "BatchNorm is much better than MaxPool": (
            difference("accuracy", runs["batchnorm"], runs["maxpool"], margin=MUCH),
        ),
    }
    expected, trained = _read(list(evidence.values()), "expected"), _read(list(evidence.values()), "trained")
    tested = map(Claim, evidence, expected, trained, evidence.values())
    return (Claim("The three networks have roughly equal numbers of parameters", equal, equal, ()), *tested)


def _read(claims: Sequence[Sequence[Difference]], which: Which) -> list[Reading]:
    """The verdicts on claims that all the differences of each are improvements."""
    adjusted = holm([_p_of_all(evidence, which) for evidence in claims])
    possible = holm([max(_least_p(one, which) for one in evidence) for evidence in claims])
    readings = []
    for evidence, p, least in zip(claims, adjusted, possible, strict=True):
        verdict: Verdict = "n is too small" if least >= SIGNIFICANCE else "undecided"
        if p < SIGNIFICANCE:
            verdict = "supported" if all(is_better(one, which) for one in evidence) else "not supported"
        readings.append(Reading(verdict, p))
    return readings


def _p_of_all(evidence: Sequence[Difference], which: Which) -> float:
    """The p-value of "all are improvements", or of its contrary where some are none.

    For all, the largest p decides (the intersection-union test: R. L. Berger, Technometrics 24, 1982); against, one
    difference suffices, and the smallest p is corrected for how many there are.
    """
    against = [p_of(one, which) for one in evidence if not is_better(one, which)]
    return min(1.0, len(evidence) * min(against)) if against else max(p_of(one, which) for one in evidence)


def _least_p(one: Difference, which: Which) -> float:
    """The p-value if all runs agreed."""
    runs = one.runs if which == "expected" else one.trained_runs
    return least_p_unpaired(*runs) if min(runs) else 1.0

"""Differences of networks in any measure, against a margin: what the paper compares
beyond the score.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from convblocks.compare.analysis import Comparison, Difference, unit_of
from convblocks.compare.means import permutation_test
from convblocks.compare.statistics import SIGNIFICANCE, superiority
from convblocks.figures.estimates import LOSS, SHARE, Estimate, Unit
from convblocks.run.result import RunResult

Reading = Literal["all", "trained"]


@dataclass(frozen=True)
class Measure:
    """What runs are compared in.

    Args:
        name: In a table.
        value: Of a run that trained: infinite if it never reached a goal, which is the worst.
        sign: 1 if more is better, else -1.
        unit: Of differences.
    """

    name: str
    value: Callable[[RunResult], float]
    sign: int
    unit: Unit


def training_loss(run: RunResult, epoch: int) -> float:
    """The mean over an epoch, by its index; nan where it is not logged."""
    return run.epochs[epoch].get("train/loss", math.nan)


FIRST_LOSS = Measure("epoch-1 train loss", lambda run: training_loss(run, 0), -1, LOSS)
LAST_LOSS = Measure("last train loss", lambda run: training_loss(run, -1), -1, LOSS)


@dataclass(frozen=True, kw_only=True)
class Measured(Difference):
    """The difference of two networks in any measure: better is better by more than the
    margin.

    If some runs that trained never reached a goal there is no mean, and ``trained`` is
    a probability too.
    """

    measure: Measure
    margin: float

    @property
    def means(self) -> Estimate | None:
        """``trained`` if it is a difference of means."""
        if self.trained and self.trained.unit != SHARE:
            return self.trained
        return None

    def estimate(self, reading: Reading) -> Estimate | None:
        return self.all_runs if reading == "all" else self.trained

    def p(self, reading: Reading) -> float:
        """The p-value, 1 if there is nothing to compare."""
        estimate = self.estimate(reading)
        return 1.0 if estimate is None else estimate.p

    def is_better(self, reading: Reading) -> bool:
        """Whether the first is better than the second by more than the margin."""
        estimate = self.estimate(reading)
        if estimate is None:
            return False
        if estimate.unit == SHARE:
            return estimate.value > 0.5
        return (estimate.value - self.margin) * self.measure.sign > 0


def score_of(results: Sequence[RunResult]) -> Measure:
    """The score of these runs as a measure."""
    judge = results[0].judged_by
    unit = unit_of(results, of_difference=True)
    return Measure(results[0].score_name, lambda run: run.score, judge.sign, unit)


def measured(
    measure: Measure, first: Sequence[RunResult], second: Sequence[RunResult], margin: float = 0.0
) -> Measured:
    """The difference of two networks' runs, unpaired: the same seed does not make two
    networks alike.
    """
    values, others = (
        [math.nan if run.failed else measure.value(run) for run in own] for own in (first, second)
    )
    trained, others_trained = (
        [value for value in own if not math.isnan(value)] for own in (values, others)
    )
    means = None
    if trained and others_trained:
        if all(map(math.isfinite, trained + others_trained)):
            means = permutation_test(trained, others_trained, measure.unit, margin)
        else:
            means = _ranks(measure.sign, trained, others_trained, margin)
    return Measured(
        measure=measure,
        first=first[0].arch,
        second=second[0].arch,
        margin=margin,
        all_runs=_ranks(measure.sign, values, others, margin),
        trained=means,
        runs=(len(values), len(others)),
        trained_runs=(len(trained), len(others_trained)),
    )


def winner(comparison: Comparison) -> str | None:
    """The network that is certainly better than every other one, over all runs too;
    None without one.
    """
    sign = comparison.results[0].judged_by.sign
    leads: dict[str, list[bool]] = {}
    for pair in comparison.differences:
        all_lead = pair.all_runs.value > 0.5
        trained_lead = pair.trained is not None and pair.trained.value * sign > 0
        trained_p = pair.trained.p if pair.trained else 1.0
        readings = (all_lead, pair.all_runs.p), (trained_lead, trained_p)
        for first_leads, p in readings:
            leads.setdefault(pair.first, []).append(first_leads and p < SIGNIFICANCE)
            leads.setdefault(pair.second, []).append(not first_leads and p < SIGNIFICANCE)
    return next((arch for arch, certain in leads.items() if all(certain)), None)


def _ranks(sign: int, first: Sequence[float], second: Sequence[float], margin: float) -> Estimate:
    """The probability that the first is better; runs that collapsed or missed a goal
    tie as the worst.
    """
    values = [sign * value - margin if math.isfinite(value) else -math.inf for value in first]
    others = [sign * value if math.isfinite(value) else -math.inf for value in second]
    return superiority(values, others)

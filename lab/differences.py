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
from convblocks.record.result import RunResult

Reading = Literal["all", "trained"]


@dataclass(frozen=True)
class Measure:
    """What runs are compared in.

    Args:
        value: Of a run that trained: infinite if it never reached a goal, which is the worst.
        sign: 1 if more is better, else -1.
        unit: Of differences.
        by: The words for it behind a ruling, if it needs any.
    """

    value: Callable[[RunResult], float]
    sign: int
    unit: Unit
    by: str = ""


def training_loss(run: RunResult, epoch: int) -> float:
    """The mean over an epoch, by its index; nan where it is not logged."""
    return run.epochs[epoch].get("train/loss", math.nan)


FIRST_LOSS = Measure(lambda run: training_loss(run, 0), -1, LOSS, ", by loss of epoch 1")
LAST_LOSS = Measure(lambda run: training_loss(run, -1), -1, LOSS)


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
    unit = unit_of(results, of_difference=True)
    return Measure(lambda run: run.score, results[0].judged_by.sign, unit)


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
    """The network whose accuracy is certainly better than every other one's, over all
    runs too; None without one.
    """
    leads: dict[str, list[bool]] = {}
    for pair in comparison.differences:
        for lead in (pair, pair.turned()):
            leads.setdefault(lead.first, []).append(_is_certain(lead))
    return next((arch for arch, certain in leads.items() if all(certain)), None)


def _is_certain(lead: Difference) -> bool:
    """Whether the first is better in both readings."""
    ranks = lead.all_runs
    means = lead.trained
    if means is None or max(ranks.p, means.p) >= SIGNIFICANCE:
        return False
    return ranks.value > 0.5 and means.value > 0


def _ranks(sign: int, first: Sequence[float], second: Sequence[float], margin: float) -> Estimate:
    """The probability that the first is better; runs that collapsed or missed a goal
    tie as the worst.
    """
    values = [sign * value - margin if math.isfinite(value) else -math.inf for value in first]
    others = [sign * value if math.isfinite(value) else -math.inf for value in second]
    return superiority(values, others)

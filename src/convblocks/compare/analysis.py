"""The statistics of finished runs: a summary of each network, and their differences.

Everything has two readings. Over all runs, collapsed ones count as the worst, and the statistic is one of ranks. Over
the runs that trained, collapsed ones are left out, and means are compared.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median
from typing import Any, Literal

from convblocks.compare.results import has_diverged, has_losses, time_to
from convblocks.compare.statistics import mean_interval, permutation_test, superiority
from convblocks.figures.estimates import LOSS, PERCENT, POINTS, SECONDS, SHARE, Estimate, Unit, share, unit_for
from convblocks.figures.grouping import by_arch
from convblocks.model.class_specs import CONSTANT
from convblocks.run.judge import Judge
from convblocks.run.result import Overrides, RunResult

Measure = Literal["first_loss", "last_loss", "seconds_to_goal", "score"]
Reading = Literal["all", "trained"]

# Of two samples against a margin: ``permutation_test``, or another with its arguments.
Test = Callable[[Sequence[float], Sequence[float], float, Unit], Estimate]

# Networks are compared by their time to this accuracy if the loss of the first epoch depends on the schedule.
GOAL = 0.98

# The notebook's networks, which come first, in its order.
NOTEBOOKS = ("mlp", "maxpool", "batchnorm")

UNITS: dict[Measure, Unit] = {"first_loss": LOSS, "last_loss": LOSS, "seconds_to_goal": SECONDS}


@dataclass(frozen=True)
class ArmSummary:
    """One network at one setting. Means are of the runs that trained, None if none has, or if no loss is known.

    ``score`` is the metric that the runs are judged by: of images the accuracy. ``collapsed_at`` has the scores of the
    others, ``diverged`` the number of those without a finite loss; ``validation`` is the mean score by which settings
    are chosen, ``seconds`` the median time of a run.
    """

    arch: str
    overrides: Overrides
    parameters: int
    seconds: float
    runs: int
    trained: Estimate
    first_loss: Estimate | None
    last_loss: Estimate | None
    score: Estimate | None
    worst: float | None
    best: float | None
    collapsed_at: tuple[float, ...]
    diverged: int
    validation: float | None

    @property
    def trained_runs(self) -> int:
        return self.runs - len(self.collapsed_at)


@dataclass(frozen=True)
class Difference:
    """The difference of two networks in one measure, with the numbers of runs of each; ``sign`` is 1 if more is better.

    ``all_runs`` is the probability that a run of the first is better than one of the second by more than the margin;
    ``trained`` the difference of means, first minus second, None if either has no run that trained. If some of these
    never reached the goal there is no mean time, and ``trained`` is a probability too.
    """

    measure: Measure
    sign: int
    first: str
    second: str
    margin: float
    all_runs: Estimate
    trained: Estimate | None
    runs: tuple[int, int]
    trained_runs: tuple[int, int]

    @property
    def means(self) -> Estimate | None:
        """``trained`` if it is a difference of means."""
        return self.trained if self.trained and self.trained.unit != SHARE else None

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
        return (estimate.value - self.margin) * self.sign > 0


@dataclass(frozen=True)
class Comparison:
    """Networks against each other, each at one setting, on the same data; ``baseline`` is the first of them."""

    judge: Judge
    images: dict[str, Any] | None
    chance_threshold: float | None
    baseline: str
    arms: tuple[ArmSummary, ...]
    differences: tuple[Difference, ...]
    results: tuple[RunResult, ...]

    def of_score(self) -> list[Difference]:
        return [one for one in self.differences if one.measure == "score"]


def compare(results: Sequence[RunResult], test: Test = permutation_test) -> Comparison:
    """Compare the networks among runs that have at most one setting for each.

    The notebook's networks come first, in its order; the later of two networks is the first of a difference. ``test``
    is that of two means.
    """
    found = by_arch(results)
    runs = {arch: found[arch] for arch in sorted(found, key=_place)}
    schedules = {one.hparams.get("lr_scheduler") for one in results}
    faster: Measure = "first_loss" if schedules == {CONSTANT} else "seconds_to_goal"
    measures: tuple[Measure, ...] = (faster, "last_loss", "score") if has_losses(results) else ("score",)
    return Comparison(
        judge=results[0].judge,
        images=results[0].facts.get("images"),
        chance_threshold=results[0].facts.get("chance"),
        baseline=next(iter(runs)),
        arms=tuple(map(summarise, runs.values())),
        differences=tuple(
            difference(measure, runs[first], runs[second], test=test)
            for measure in measures
            for first, second in combinations(reversed(runs), 2)
        ),
        results=tuple(results),
    )


def summarise(results: Sequence[RunResult]) -> ArmSummary:
    """The summary of one network's runs at one setting."""
    trained = [one for one in results if not one.failed]
    scores = sorted((one.score for one in trained), key=lambda score: results[0].judge.sign * score)
    losses = bool(trained) and has_losses(results)
    return ArmSummary(
        arch=results[0].arch,
        overrides=results[0].overrides,
        parameters=results[0].parameters,
        seconds=median(one.seconds for one in results),
        runs=len(results),
        trained=share(len(trained), len(results)),
        first_loss=mean_interval([one.first_loss for one in trained], LOSS) if losses else None,
        last_loss=mean_interval([one.last_loss for one in trained], LOSS) if losses else None,
        score=mean_interval([one.score for one in trained], unit_of(trained)) if trained else None,
        worst=scores[0] if scores else None,
        best=scores[-1] if scores else None,
        collapsed_at=tuple(sorted(one.score for one in results if one.failed)),
        diverged=sum(has_diverged(one) for one in results),
        validation=mean_validation(results),
    )


def difference(
    measure: Measure,
    first: Sequence[RunResult],
    second: Sequence[RunResult],
    margin: float = 0.0,
    test: Test = permutation_test,
) -> Difference:
    """The difference of two networks' runs, unpaired: the same seed does not make two networks alike."""
    one, other = (_values(runs, measure) for runs in (first, second))
    one_trained, other_trained = ([value for value in values if not math.isnan(value)] for values in (one, other))
    trained, sign = None, first[0].judge.sign if measure == "score" else -1
    if one_trained and other_trained:
        if all(map(math.isfinite, one_trained + other_trained)):
            unit = UNITS.get(measure) or unit_of([*first, *second], of_difference=True)
            trained = test(one_trained, other_trained, margin, unit)
        else:
            trained = _ranks(sign, one_trained, other_trained, margin)
    return Difference(
        measure=measure,
        sign=sign,
        first=first[0].arch,
        second=second[0].arch,
        margin=margin,
        all_runs=_ranks(sign, one, other, margin),
        trained=trained,
        runs=(len(one), len(other)),
        trained_runs=(len(one_trained), len(other_trained)),
    )


def difference_of_means(first: Sequence[RunResult], second: Sequence[RunResult]) -> Estimate | None:
    """The difference in score of the runs that trained, first minus second; None if either has none."""
    scores, others = ([one.score for one in runs if not one.failed] for runs in (first, second))
    if not scores or not others:
        return None
    return permutation_test(scores, others, unit=unit_of([*first, *second], of_difference=True))


def unit_of(results: Sequence[RunResult], of_difference: bool = False) -> Unit:
    """How scores of these runs, or differences of them, are written: accuracies in per cent, others as they are.

    What a metric can be is seen from its values: one to be maximised of which all lie in 0..1 is taken for a share, and
    one to be minimised of which none is negative for a loss. Intervals of their means end there.
    """
    judge, scores = results[0].judge, [one.score for one in results]
    if judge.in_percent:
        return POINTS if of_difference else PERCENT
    unit = unit_for(scores)
    if of_difference or min(scores) < 0:
        return unit
    if judge.sign < 0:
        return unit._replace(least=0)
    return unit._replace(least=0, most=1) if max(scores) <= 1 else unit


def mean_validation(results: Sequence[RunResult]) -> float | None:
    """The mean score on validation data, by which settings are chosen; None if some runs have none."""
    found = [one.validation for one in results]
    return None if None in found else fmean(one for one in found if one is not None)


def _values(results: Sequence[RunResult], measure: Measure) -> list[float]:
    """The measure of each run: nan of a collapsed one, infinite for the time to a goal it never reached."""
    return [math.nan if one.failed else _value(one, measure) for one in results]


def _value(result: RunResult, measure: Measure) -> float:
    if measure != "seconds_to_goal":
        return float(getattr(result, measure))
    reached = time_to(result, GOAL)
    return reached[1] if reached else math.inf


def _ranks(sign: int, first: Sequence[float], second: Sequence[float], margin: float) -> Estimate:
    """The probability that the first is better; runs that collapsed or missed the goal tie as the worst."""
    one = [sign * value - margin if math.isfinite(value) else -math.inf for value in first]
    other = [sign * value if math.isfinite(value) else -math.inf for value in second]
    return superiority(one, other)


def _place(arch: str) -> int:
    return NOTEBOOKS.index(arch) if arch in NOTEBOOKS else len(NOTEBOOKS)

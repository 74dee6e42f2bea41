"""The statistics of finished runs: a summary of each network, and their differences.

Everything has two readings. Over all runs, collapsed ones count as the worst, and the statistic is one of ranks. Over
the runs that trained, collapsed ones are left out, and means are compared.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import attrgetter
from statistics import fmean, median
from typing import Literal

from convblocks.compare.results import has_diverged, has_losses
from convblocks.compare.statistics import mean_interval, permutation_test, superiority
from convblocks.figures.estimates import LOSS, PERCENT, POINTS, SHARE, Estimate, Unit, share, unit_for
from convblocks.figures.grouping import by_arch
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.judge import Judge
from convblocks.run.result import Overrides, RunResult

Reading = Literal["all", "trained"]

# Of two samples against a margin: ``permutation_test``, or another with its arguments.
Test = Callable[[Sequence[float], Sequence[float], float, Unit], Estimate]


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


SCORE = attrgetter("score")
FIRST_LOSS = Measure("epoch-1 train loss", attrgetter("first_loss"), -1, LOSS)
LAST_LOSS = Measure("last train loss", attrgetter("last_loss"), -1, LOSS)


@dataclass(frozen=True)
class Summary:
    """One network at one setting. Means are of the runs that trained, None if none has, or if no loss is known.

    ``score`` is the metric that the runs are judged by: of images the accuracy; ``ends`` has the worst and the best
    one. ``collapsed_at`` has the scores of the others, ``diverged`` the number of those without a finite loss;
    ``validation`` is the mean score by which settings are chosen, ``seconds`` the median time of a run.
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
    ends: tuple[float, ...]
    collapsed_at: tuple[float, ...]
    diverged: int
    validation: float | None

    @property
    def trained_runs(self) -> int:
        return self.runs - len(self.collapsed_at)


@dataclass(frozen=True)
class Difference:
    """The difference of two networks in one measure, with the numbers of runs of each.

    ``all_runs`` is the probability that a run of the first is better than one of the second by more than the margin;
    ``trained`` the difference of means, first minus second, None if either has no run that trained. If some of these
    never reached a goal there is no mean, and ``trained`` is a probability too. ``overrides`` are the first one's.
    """

    measure: Measure
    first: str
    second: str
    overrides: Overrides
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
        return (estimate.value - self.margin) * self.measure.sign > 0


@dataclass(frozen=True)
class Comparison:
    """Networks against each other, each at one setting, on the same data; the first of them is the baseline."""

    arms: tuple[Summary, ...]
    differences: tuple[Difference, ...]
    results: tuple[RunResult, ...]

    @property
    def judge(self) -> Judge:
        return self.results[0].judge

    @property
    def baseline(self) -> str:
        return self.arms[0].arch

    @property
    def in_score(self) -> list[Difference]:
        """The differences in score."""
        return [difference for difference in self.differences if difference.measure.value is SCORE]


def compare(
    results: Sequence[RunResult], test: Test = permutation_test, measures: Sequence[Measure] | None = None
) -> Comparison:
    """Compare the networks among runs that have at most one setting for each.

    Registered networks come first, in their order; the later of two networks is the first of a difference. ``test`` is
    that of two means; ``measures`` are by default the score and, where they are known, the losses of training.
    """
    known, found = list(ARCHITECTURES), by_arch(results)
    archs = sorted(found, key=lambda arch: known.index(arch) if arch in known else len(known))
    differences = [
        difference(measure, found[first], found[second], test=test)
        for measure in (measures_of(results) if measures is None else measures)
        for first, second in combinations(reversed(archs), 2)
    ]
    return Comparison(tuple(summarise(found[arch]) for arch in archs), tuple(differences), tuple(results))


def measures_of(results: Sequence[RunResult]) -> list[Measure]:
    """The first and the last loss of training, if they are known, and the score."""
    return [*([FIRST_LOSS, LAST_LOSS] if has_losses(results) else []), score_of(results)]


def score_of(results: Sequence[RunResult]) -> Measure:
    """The score of these runs as a measure."""
    return Measure(results[0].score_name, SCORE, results[0].judge.sign, unit_of(results, of_difference=True))


def summarise(results: Sequence[RunResult]) -> Summary:
    """The summary of one network's runs at one setting."""
    trained = [run for run in results if not run.failed]
    scores = sorted((run.score for run in trained), key=lambda score: results[0].judge.sign * score)
    losses = bool(trained) and has_losses(results)
    return Summary(
        arch=results[0].arch,
        overrides=results[0].overrides,
        parameters=results[0].parameters,
        seconds=median(run.seconds for run in results),
        runs=len(results),
        trained=share(len(trained), len(results)),
        first_loss=mean_interval([run.first_loss for run in trained], LOSS) if losses else None,
        last_loss=mean_interval([run.last_loss for run in trained], LOSS) if losses else None,
        score=mean_interval([run.score for run in trained], unit_of(trained)) if trained else None,
        ends=(scores[0], scores[-1]) if scores else (),
        collapsed_at=tuple(sorted(run.score for run in results if run.failed)),
        diverged=sum(has_diverged(run) for run in results),
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
    values, others = ([math.nan if run.failed else measure.value(run) for run in runs] for runs in (first, second))
    trained, others_trained = ([value for value in own if not math.isnan(value)] for own in (values, others))
    means = None
    if trained and others_trained:
        if all(map(math.isfinite, trained + others_trained)):
            means = test(trained, others_trained, margin, measure.unit)
        else:
            means = _ranks(measure.sign, trained, others_trained, margin)
    return Difference(
        measure=measure,
        first=first[0].arch,
        second=second[0].arch,
        overrides=first[0].overrides,
        margin=margin,
        all_runs=_ranks(measure.sign, values, others, margin),
        trained=means,
        runs=(len(values), len(others)),
        trained_runs=(len(trained), len(others_trained)),
    )


def difference_of_means(first: Sequence[RunResult], second: Sequence[RunResult]) -> Estimate | None:
    """The difference in score of the runs that trained, first minus second; None if either has none."""
    scores, others = ([run.score for run in runs if not run.failed] for runs in (first, second))
    if not scores or not others:
        return None
    return permutation_test(scores, others, unit=unit_of([*first, *second], of_difference=True))


def unit_of(results: Sequence[RunResult], of_difference: bool = False) -> Unit:
    """How scores of these runs, or differences of them, are written: accuracies in per cent, others as they are.

    What a metric can be is seen from its values: one to be maximised of which all lie in 0..1 is taken for a share, and
    one to be minimised of which none is negative for a loss. Intervals of their means end there.
    """
    judge, scores = results[0].judge, [run.score for run in results if not math.isnan(run.score)]
    if judge.in_percent:
        return POINTS if of_difference else PERCENT
    unit = unit_for(scores)
    if of_difference or min(scores, default=0.0) < 0:
        return unit
    if judge.sign < 0:
        return unit._replace(least=0)
    return unit._replace(least=0, most=1) if max(scores, default=1.0) <= 1 else unit


def mean_validation(results: Sequence[RunResult]) -> float | None:
    """The mean score on validation data, by which settings are chosen; None if some runs have none."""
    found = [run.validation for run in results]
    return None if None in found else fmean(score for score in found if score is not None)


def _ranks(sign: int, first: Sequence[float], second: Sequence[float], margin: float) -> Estimate:
    """The probability that the first is better; runs that collapsed or missed a goal tie as the worst."""
    values = [sign * value - margin if math.isfinite(value) else -math.inf for value in first]
    others = [sign * value if math.isfinite(value) else -math.inf for value in second]
    return superiority(values, others)

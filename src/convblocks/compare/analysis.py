"""What is concluded from finished runs: a summary of each network, and their
differences.

Everything has two readings. Over all runs, collapsed ones count as the worst, and the
statistic is one of ranks. Over the runs that trained, collapsed ones are left out, and
means are compared.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, median

from convblocks.compare.statistics import holm, mean_interval, permutation_test, superiority
from convblocks.figures.estimates import PERCENT, POINTS, Estimate, Unit, share
from convblocks.figures.grouping import by_arch, grouped
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.result import Overrides, RunResult


@dataclass(frozen=True)
class Difference:
    """The difference of two networks in score, with the numbers of runs of each.

    ``all_runs`` is the probability that a run of the first is better than one of the
    second; ``trained`` the difference of means, first minus second, None if either has
    no run that trained. The p-values are those of both after Holm's correction over the
    differences of a comparison.
    """

    first: str
    second: str
    all_runs: Estimate
    trained: Estimate | None
    runs: tuple[int, int]
    trained_runs: tuple[int, int]
    adjusted_all: float = 1.0
    adjusted_trained: float = 1.0

    def turned(self) -> "Difference":
        """The second minus the first."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            all_runs=self.all_runs.complement(),
            trained=-self.trained if self.trained else None,
            runs=self.runs[::-1],
            trained_runs=self.trained_runs[::-1],
        )


@dataclass(frozen=True)
class Summary:
    """One network at one setting. Means are of the runs that trained, None if none has,
    or if no loss is known.

    ``score`` is the metric that the runs are judged by: of images the accuracy.
    ``validation`` is the mean score of all runs by which settings are chosen,
    ``seconds`` the median time of a run; ``against`` is the difference from the network
    with which the others are compared.
    """

    arch: str
    overrides: Overrides
    parameters: int
    seconds: float
    runs: int
    trained_runs: int
    trained: Estimate
    first_loss: float | None
    last_loss: float | None
    score: Estimate | None
    validation: float | None
    against: Difference | None = None

    @property
    def collapsed(self) -> int:
        """The number of runs that did not train."""
        return self.runs - self.trained_runs


@dataclass(frozen=True)
class Comparison:
    """Networks against each other, each at one setting, on the same data; the first of
    them is the baseline.
    """

    arms: tuple[Summary, ...]
    differences: tuple[Difference, ...]
    results: tuple[RunResult, ...]


def compare(results: Sequence[RunResult]) -> Comparison:
    """Compare the networks among runs that have at most one setting for each.

    Registered networks come first, in their order; the later of two networks is the
    first of a difference.
    """
    known, runs = list(ARCHITECTURES), by_arch(results)
    archs = sorted(runs, key=lambda arch: known.index(arch) if arch in known else len(known))
    arms = [summarise(runs[arch]) for arch in archs]
    pairs = [
        difference(runs[first], runs[second]) for first, second in combinations(reversed(archs), 2)
    ]
    adjusted_all = holm([pair.all_runs.p for pair in pairs])
    adjusted_trained = holm([pair.trained.p if pair.trained else 1.0 for pair in pairs])
    differences = [
        replace(pair, adjusted_all=p_all, adjusted_trained=p_trained)
        for pair, p_all, p_trained in zip(pairs, adjusted_all, adjusted_trained, strict=True)
    ]
    against = {pair.first: pair for pair in differences if pair.second == archs[0]}
    arms = [replace(arm, against=against.get(arm.arch)) for arm in arms]
    return Comparison(tuple(arms), tuple(differences), tuple(results))


def difference(first: Sequence[RunResult], second: Sequence[RunResult]) -> Difference:
    """The difference of two networks' runs, unpaired: the same seed does not make two
    networks alike.
    """
    sign, unit = first[0].judge.sign, unit_of([*first, *second], of_difference=True)
    ranks, other_ranks = (
        [-math.inf if run.failed else sign * run.score for run in runs] for runs in (first, second)
    )
    trained, others_trained = (
        [run.score for run in runs if not run.failed] for runs in (first, second)
    )
    return Difference(
        first=first[0].arch,
        second=second[0].arch,
        all_runs=superiority(ranks, other_ranks),
        trained=permutation_test(trained, others_trained, unit)
        if trained and others_trained
        else None,
        runs=(len(first), len(second)),
        trained_runs=(len(trained), len(others_trained)),
    )


def summarise(results: Sequence[RunResult]) -> Summary:
    """The summary of one network's runs at one setting."""
    trained = [run for run in results if not run.failed]
    has_losses = trained and all(
        "train/loss" in row for run in trained for row in (run.epochs[0], run.epochs[-1])
    )
    return Summary(
        arch=results[0].arch,
        overrides=results[0].overrides,
        parameters=results[0].parameters,
        seconds=median(run.seconds for run in results),
        runs=len(results),
        trained_runs=len(trained),
        trained=share(len(trained), len(results)),
        first_loss=fmean(run.epochs[0]["train/loss"] for run in trained) if has_losses else None,
        last_loss=fmean(run.epochs[-1]["train/loss"] for run in trained) if has_losses else None,
        score=mean_interval([run.score for run in trained], unit_of(trained)) if trained else None,
        validation=mean_validation(results),
    )


def unit_of(results: Sequence[RunResult], of_difference: bool = False) -> Unit:
    """How scores of these runs, or their differences, are written: accuracies in per
    cent, others with four digits.
    """
    if results[0].judge.in_percent:
        return POINTS if of_difference else PERCENT
    largest = max((abs(run.score) for run in results if math.isfinite(run.score)), default=0.0)
    return Unit(digits=max(0, 3 - math.floor(math.log10(largest)))) if largest else Unit()


def mean_validation(results: Sequence[RunResult]) -> float | None:
    """The mean score on validation data, by which settings are chosen; None if some
    runs have none.
    """
    scores = [run.validation for run in results if run.validation is not None]
    return fmean(scores) if len(scores) == len(results) else None


def best_settings(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs at each network's setting with the best mean score on validation data;
    none without such data.
    """
    if any(run.validation is None for run in results):
        return []
    sign, best = results[0].judge.sign, list[RunResult]()
    for runs in by_arch(results).values():
        settings = grouped(runs, lambda run: run.overrides).values()
        chosen = max(settings, key=lambda at_setting: sign * (mean_validation(at_setting) or 0.0))
        best += chosen
    return best


def swept_options(results: Iterable[RunResult]) -> tuple[str, ...]:
    """The options of a grid: those that have several values."""
    pairs = dict.fromkeys(pair for run in results for pair in run.overrides)
    return tuple(
        option for option, values in grouped(pairs, lambda pair: pair[0]).items() if len(values) > 1
    )

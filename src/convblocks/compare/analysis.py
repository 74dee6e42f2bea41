"""What is concluded from finished runs: a summary of each network, and their
differences.

Everything has two readings. Over all runs, collapsed ones count as the worst, and the
statistic is one of ranks. Over the runs that trained, collapsed ones are left out, and
means are compared.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, product
from statistics import fmean, median

from convblocks.compare.statistics import holm, mean_interval, permutation_test, superiority
from convblocks.figures.estimates import PERCENT, POINTS, Estimate, Unit, share
from convblocks.figures.grouping import by_arch, grouped
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.result import Overrides, Results, RunResult

# Of more settings than this only the differences from the first one are tested.
MOST_PAIRED = 6


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
    """Networks against each other, each at one setting, on the same data, or settings of
    one network; the first of them is the baseline.
    """

    arms: Sequence[Summary]
    differences: Sequence[Difference]
    results: Results
    of_settings: bool = False


def compare(results: Results, of_settings: bool = False) -> Comparison:
    """Compare the networks among runs that have at most one setting for each, or
    ``named_by_setting`` the settings of one.

    Registered networks come first, in their order; the later of two networks is the
    first of a difference. Of many settings each is only compared with the baseline.
    """
    runs = by_arch(results)
    archs = [arch for arch in dict.fromkeys([*ARCHITECTURES, *runs]) if arch in runs]
    latest_first = [runs[arch] for arch in reversed(archs)]
    both = [*combinations(latest_first, 2)]
    if of_settings and len(archs) > MOST_PAIRED:
        both = [*product(latest_first[:-1], latest_first[-1:])]
    pairs = [difference(*pair) for pair in both]
    adjusted_all = holm([pair.all_runs.p for pair in pairs])
    adjusted_trained = holm([pair.trained.p if pair.trained else 1.0 for pair in pairs])
    differences = [
        replace(pair, adjusted_all=p_all, adjusted_trained=p_trained)
        for pair, p_all, p_trained in zip(pairs, adjusted_all, adjusted_trained, strict=True)
    ]
    against = {pair.first: pair for pair in differences if pair.second == archs[0]}
    arms = [replace(summarise(runs[arch]), against=against.get(arch)) for arch in archs]
    return Comparison(arms, differences, results, of_settings)


def difference(first: Results, second: Results) -> Difference:
    """The difference of two networks' runs, unpaired: the same seed does not make two
    networks alike.
    """
    sign = first[0].judged_by.sign

    def ranked(runs: Results) -> list[float]:
        return [-math.inf if run.failed else sign * run.score for run in runs]

    trained = [run.score for run in first if not run.failed]
    others = [run.score for run in second if not run.failed]
    means = None
    if trained and others:
        unit = unit_of([*first, *second], of_difference=True)
        means = permutation_test(trained, others, unit)
    return Difference(
        first=first[0].arch,
        second=second[0].arch,
        all_runs=superiority(ranked(first), ranked(second)),
        trained=means,
        runs=(len(first), len(second)),
        trained_runs=(len(trained), len(others)),
    )


def summarise(results: Results) -> Summary:
    """The summary of one network's runs at one setting."""
    trained = [run for run in results if not run.failed]
    losses_known = all("train/loss" in run.epochs[place] for run in trained for place in (0, -1))

    def mean_loss(place: int) -> float | None:
        if not (trained and losses_known):
            return None
        return fmean(run.epochs[place]["train/loss"] for run in trained)

    scores = [run.score for run in trained]
    return Summary(
        arch=results[0].arch,
        overrides=results[0].overrides,
        parameters=results[0].parameters,
        seconds=median(run.seconds for run in results),
        runs=len(results),
        trained_runs=len(trained),
        trained=share(len(trained), len(results)),
        first_loss=mean_loss(0),
        last_loss=mean_loss(-1),
        score=mean_interval(scores, unit_of(trained)) if trained else None,
        validation=mean_validation(results),
    )


def unit_of(results: Results, of_difference: bool = False) -> Unit:
    """How scores of these runs, or their differences, are written: accuracies in per
    cent, others with four digits.
    """
    if results[0].judged_by.in_percent:
        return POINTS if of_difference else PERCENT
    sizes = [abs(run.score) for run in results if math.isfinite(run.score)]
    if not any(sizes):
        return Unit()
    magnitude = math.floor(math.log10(max(sizes)))
    return Unit(digits=max(0, 3 - magnitude))


def mean_validation(results: Results) -> float | None:
    """The mean score on validation data, by which settings are chosen; None if some
    runs have none.
    """
    scores = [run.validation for run in results if run.validation is not None]
    return fmean(scores) if len(scores) == len(results) else None


def best_settings(results: Results) -> list[RunResult]:
    """The runs at each network's setting with the best mean score on validation data;
    none without such data.
    """
    if any(run.validation is None for run in results):
        return []
    sign = results[0].judged_by.sign

    def rank(at_setting: Results) -> float:
        mean = mean_validation(at_setting) or 0.0
        return sign * mean if math.isfinite(mean) else -math.inf

    best = []
    for runs in by_arch(results).values():
        settings = grouped(runs, lambda run: run.overrides).values()
        chosen = max(settings, key=rank)
        best += chosen
    return best


def swept_options(results: Results) -> tuple[str, ...]:
    """The options of a grid: those that not all runs have with the same values."""
    found = [run.overrides for run in results]
    shared = set(found[0]).intersection(*found)
    swept = [option for option, value in chain(*found) if (option, value) not in shared]
    return tuple(dict.fromkeys(swept))


def named_by_setting(results: Results) -> list[RunResult]:
    """The runs of one network under the names of their settings, such as ``lr=1e-3``;
    none if there are several networks, or no grid.
    """
    swept = swept_options(results)
    if not swept or len(by_arch(results)) > 1:
        return []

    def name(run: RunResult) -> str:
        words = [f"{option}={value}" for option, value in run.overrides if option in swept]
        return ", ".join(
            re.sub(r"^(model|network|optimizer|lr_scheduler)\.", "", word) for word in words
        )

    return [replace(run, arch=name(run)) for run in results]

"""Summarises the finished runs of each network, and tests the differences between networks.

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

from convblocks.compare.means import permutation_test
from convblocks.compare.statistics import (
    SIGNIFICANCE,
    holm,
    holm_levels,
    mean_interval,
    superiority,
)
from convblocks.figures.estimates import PERCENT, POINTS, Estimate, Unit, share
from convblocks.figures.grouping import by_arch, grouped
from convblocks.model.names import in_order
from convblocks.record.result import Overrides, Results, RunResult

# The most settings of which all pairs are tested; of more, only the differences from the first.
MOST_PAIRED = 6


@dataclass(frozen=True)
class Difference:
    """The difference of two networks in score, with the numbers of runs of each.

    ``all_runs`` is the probability that a run of the first is better than one of the
    second; ``trained`` the difference of means, first minus second, None if either has
    no run that trained. Their p-values are adjusted after Holm for the differences of a
    comparison. So is the interval of ``trained``, which is at the level at which Holm's
    procedure tested it, and so leaves 0 out if and only if p is below 5 %. That of
    ``all_runs`` is at 95 %, but ends at 1/2 or reaches to it where its p demands that.
    """

    first: str
    second: str
    all_runs: Estimate
    trained: Estimate | None
    runs: tuple[int, int]
    trained_runs: tuple[int, int]

    @property
    def n(self) -> str:
        """The runs that trained, in a sentence: ``n = 4 each``."""
        first, second = self.trained_runs
        return f"n = {first} each" if first == second else f"n = {first} and {second}"

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
    archs = in_order(runs)
    latest_first = [runs[arch] for arch in reversed(archs)]
    both = [*combinations(latest_first, 2)]
    if of_settings and len(archs) > MOST_PAIRED:
        both = [*product(latest_first[:-1], latest_first[-1:])]
    differences = _differences(both)
    against = {pair.first: pair for pair in differences if pair.second == archs[0]}
    arms = [replace(summarise(runs[arch]), against=against.get(arch)) for arch in archs]
    return Comparison(arms, differences, results, of_settings)


def _differences(pairs: Sequence[tuple[Results, Results]]) -> list[Difference]:
    """The differences of these pairs, adjusted for their number."""
    tested = [_difference(*pair) for pair in pairs]
    p_values = [one.trained.p if one.trained else 1.0 for one in tested]
    of_means = zip(pairs, holm(p_values), holm_levels(p_values), strict=True)
    of_ranks = zip(tested, holm([one.all_runs.p for one in tested]), strict=True)
    differences = []
    for (one, p_all), (pair, p, level) in zip(of_ranks, of_means, strict=True):
        means = _of_means(*pair, level)
        differences.append(
            replace(
                one, all_runs=_agreeing(one.all_runs, p_all), trained=means and replace(means, p=p)
            )
        )
    return differences


def _agreeing(share: Estimate, p: float) -> Estimate:
    """An estimate with this p, whose interval holds 1/2 if and only if p is at least 5 %."""
    low, high = share.low, share.high
    if p >= SIGNIFICANCE:
        low, high = min(low, 0.5), max(high, 0.5)
    elif share.value > 0.5:
        low = max(low, 0.5)
    else:
        high = min(high, 0.5)
    return replace(share, low=low, high=high, p=p)


def _difference(first: Results, second: Results) -> Difference:
    """The difference of two networks' runs, unpaired: the same seed does not make two
    networks alike.
    """
    sign = first[0].judged_by.sign

    def ranked(runs: Results) -> list[float]:
        return [-math.inf if run.failed else sign * run.score for run in runs]

    return Difference(
        first=first[0].arch,
        second=second[0].arch,
        all_runs=superiority(ranked(first), ranked(second)),
        trained=_of_means(first, second, level=0),  # only p is used
        runs=(len(first), len(second)),
        trained_runs=(len(trained_scores(first)), len(trained_scores(second))),
    )


def _of_means(first: Results, second: Results, level: float) -> Estimate | None:
    """The difference of the means of the runs that trained; of a single run, which shows
    no spread, without an interval and never significant.
    """
    scores, others = trained_scores(first), trained_scores(second)
    if not (scores and others):
        return None
    unit = unit_of([*first, *second], of_difference=True)
    found = permutation_test(scores, others, unit, level=level)
    if found.n == 1:
        found = replace(found, low=-math.inf, high=math.inf, p=1.0)
    return found


def trained_scores(results: Results) -> list[float]:
    """The scores of the runs that trained."""
    return [run.score for run in results if not run.failed]


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
    """The unit in which scores of these runs, or their differences, are written: accuracies in
    per cent, others with four digits.
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
    """The runs of one network under the names of their settings, such as ``lr 1e-3``;
    none if there are several networks, or no grid.
    """
    swept = swept_options(results)
    if not swept or len(by_arch(results)) > 1:
        return []

    def name(run: RunResult) -> str:
        words = [f"{option} {value}" for option, value in run.overrides if option in swept]
        return ", ".join(
            re.sub(r"^(model|network|optimizer|lr_scheduler)\.", "", word) for word in words
        )

    return [replace(run, arch=name(run)) for run in results]

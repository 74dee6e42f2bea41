"""The analysis of the factorial and of the controls of pooling, as
docs/lab/protocol-operations.md lays it down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from math import hypot, nan
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from convblocks.compare.analysis import trained_scores
from convblocks.compare.statistics import SIGNIFICANCE
from convblocks.figures.estimates import POINTS, Estimate
from convblocks.figures.grouping import grouped
from convblocks.record.result import RunResult
from lab.differences import measured, score_of
from lab.results import is_confirming, rate_of
from lab.statistics import after_holm
from lab.study.decision import is_equivalent

# The operations, and the level of each that counts as +1.
OPERATIONS = {
    "downsampling": ("maxpool", "MaxPool instead of stride 2"),
    "normalisation": ("batch", "batch normalisation"),
    "head": ("average", "averaging instead of flattening"),
}

RESAMPLES = 10_000

# Means are compared to so many digits: in further ones equal means may differ.
DIGITS = 12

# Between the operations of an interaction.
TIMES = " × "  # noqa: RUF001

# Of each operation.
Levels = tuple[Any, ...]


@dataclass(frozen=True)
class Tuned:
    """A network's runs: those that chose its learning rate, by rate, and the confirming
    ones at the chosen rate.
    """

    choosing: Mapping[str, Sequence[RunResult]]
    confirming: Sequence[RunResult]

    @property
    def rate(self) -> str:
        return rate_of(self.confirming[0])

    @property
    def trained(self) -> list[float]:
        """Test accuracies of the confirming runs that trained."""
        return trained_scores(self.confirming)

    def held_out(self, rate: str) -> NDArray[np.float64]:
        """The held-out accuracy of each choosing run at a rate, collapsed ones
        included, in the order of seeds.
        """
        runs = sorted(self.choosing[rate], key=lambda run: run.seed)
        return np.array([run.validation or 0.0 for run in runs])

    def rate_by(self, seeds: int, rates: Sequence[str]) -> str:
        """The rate that so many of the choosing seeds would have chosen among these."""
        return max(rates, key=lambda rate: round(float(self.held_out(rate)[:seeds].mean()), DIGITS))

    def changes(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """By how much the accuracy changes if other seeds choose the rate:
        (RESAMPLES,), 0 where they choose the same.

        The difference of the two rates' held-out means over all seeds. Its spread is
        corrected: means of n values drawn again spread by sqrt((n - 1) / n) too little
        (T. C. Hesterberg, "What teachers should know about the bootstrap", The American
        Statistician 69, 2015).
        """
        held_out = np.stack([self.held_out(rate) for rate in self.choosing])  # (rates, seeds)
        n = held_out.shape[1]
        seeds = generator.integers(n, size=(RESAMPLES, n))
        drawn = held_out[:, seeds].mean(axis=2)  # (rates, RESAMPLES)
        chosen = drawn.round(DIGITS).argmax(axis=0)
        means = held_out.mean(axis=1)
        here = [*self.choosing].index(self.rate)
        changes: NDArray[np.float64] = means[chosen] - means[here]
        changes *= (n / (n - 1)) ** 0.5
        return changes


@dataclass(frozen=True)
class Effect:
    """A difference of test accuracies.

    ``given`` has the interval and the p, after Holm's correction, at the chosen
    learning rates; ``with_choice`` an interval that also holds for other choices of
    them.
    """

    name: str
    where: str
    given: Estimate
    with_choice: Estimate


def tuned(results: Sequence[RunResult]) -> dict[Levels, Tuned]:
    """Each network's runs, by the levels of its operations."""
    found = {}
    for levels, runs in grouped(results, levels_of).items():
        stages = grouped(runs, is_confirming)
        rates = grouped(stages[False], rate_of)
        choosing = {rate: rates[rate] for rate in sorted(rates, key=float)}
        found[levels] = Tuned(choosing, stages.get(True, []))
    return found


def levels_of(run: RunResult) -> Levels:
    """What a run's network has of each operation, and its channels if they are not the course's."""
    overrides = dict(run.overrides)
    defaults = {"downsampling": "maxpool", "normalisation": "none", "head": "flatten"}
    levels = tuple(
        overrides.get(f"network.{operation}", level) for operation, level in defaults.items()
    )
    if "network.channels" in overrides:
        return (*levels, overrides["network.channels"])
    return levels


def simple_effects(networks: Mapping[Levels, Tuned]) -> list[Effect]:
    """What each operation changes at each combination of the other two: twelve
    differences, corrected together.
    """
    pairs = []
    for place, (plus, name) in enumerate(OPERATIONS.values()):
        for first, second in permutations(sorted(networks), 2):
            rest = first[:place] + first[place + 1 :]
            if first[place] == plus and rest == second[:place] + second[place + 1 :]:
                pairs.append((name, ", ".join(rest), first, second))
    return differences(networks, pairs)


def differences(
    networks: Mapping[Levels, Tuned], pairs: Sequence[tuple[str, str, Levels, Levels]]
) -> list[Effect]:
    """The differences of pairs of networks, first minus second, by the study's test
    after Holm's correction.
    """
    generator = np.random.default_rng(0)
    changes = {levels: network.changes(generator) for levels, network in networks.items()}
    found = []
    for _, _, *compared in pairs:
        runs, others = (networks[levels].confirming for levels in compared)
        means = measured(score_of(runs), runs, others).means
        assert means is not None, "no run of one of the networks trained"
        found.append(means)
    effects = []
    for (name, where, first, second), given in zip(pairs, after_holm(found), strict=True):
        wider = with_choice(given, changes[first] - changes[second])
        effects.append(Effect(name, where, given, wider))
    return effects


def with_choice(given: Estimate, changes: NDArray[np.float64]) -> Estimate:
    """The interval that also holds for other choices of the rates, which change the difference by
    so much: their error is added in quadrature on both sides.
    """
    error = np.sqrt(np.mean(changes**2))
    margin = float(stats.norm.ppf(1 - SIGNIFICANCE / 2) * error)
    below = hypot(given.value - given.low, margin)
    above = hypot(given.high - given.value, margin)
    return replace(given, low=given.value - below, high=given.value + above, p=nan)


def interactions(networks: Mapping[Levels, Tuned]) -> dict[str, Estimate]:
    """How much the operations change each other's effects: contrasts of the eight
    means, by pairs and of all three.

    As differences in points of test accuracy, with Welch and Satterthwaite's intervals
    that hold together.
    """
    return _contrasts(networks, (2, 3))


def main_effects(networks: Mapping[Levels, Tuned]) -> dict[str, Estimate]:
    """Each operation's effect, averaged over the others, where no interaction with it
    has p < 0.05.
    """
    interacting = {
        name
        for pair, effect in interactions(networks).items()
        if effect.p < SIGNIFICANCE
        for name in pair.split(TIMES)
    }
    effects = _contrasts(networks, (1,))
    return {name: effect for name, effect in effects.items() if name not in interacting}


def _contrasts(networks: Mapping[Levels, Tuned], sizes: Sequence[int]) -> dict[str, Estimate]:
    samples = [network.trained for network in networks.values()]
    pluses, names = zip(*OPERATIONS.values(), strict=True)
    signs = np.where(np.array([*networks]) == pluses, 1, -1)  # (networks, operations)
    places = range(len(OPERATIONS))
    groups = [group for size in sizes for group in combinations(places, size)]
    return {
        TIMES.join(names[place].partition(" instead")[0] for place in group): contrast(
            samples, signs[:, group].prod(axis=1) / (len(samples) / 2), len(groups)
        )
        for group in groups
    }


def contrast(samples: Sequence[Sequence[float]], weights: ArrayLike, comparisons: int) -> Estimate:
    """A weighted sum of means, with an interval that holds together with so many others
    by Bonferroni's correction.

    Variances are not pooled: the degrees of freedom are Satterthwaite's (B. L. Welch,
    "The generalization of 'Student's' problem when several different population
    variances are involved", Biometrika 34, 1947).
    """
    sizes = np.array([*map(len, samples)])
    variances = np.array([np.var(own, ddof=1) for own in samples])
    parts = np.square(weights) * variances / sizes
    freedom = parts.sum() ** 2 / (parts**2 / (sizes - 1)).sum()
    value = float(np.dot(weights, [np.mean(own) for own in samples]))
    error = float(parts.sum() ** 0.5)
    margin = float(stats.t.ppf(1 - SIGNIFICANCE / 2 / comparisons, freedom)) * error
    p = min(1.0, 2 * comparisons * float(stats.t.sf(abs(value) / error, freedom)))
    return Estimate(value, value - margin, value + margin, int(min(sizes)), p, POINTS)


Verdict = Literal["pooling", "resolution", "arithmetic", "undecided"]


def verdict_on_pooling(effects: Mapping[str, Estimate]) -> Verdict:
    """What makes MaxPool better than a stride of 2, from its lead over each control:
    the protocol's rule.
    """
    if is_equivalent(effects["average"]):
        return "resolution"
    if is_equivalent(effects["wide-stride"]):
        return "arithmetic"
    is_best = all(effect.value > 0 and effect.p < SIGNIFICANCE for effect in effects.values())
    return "pooling" if is_best else "undecided"

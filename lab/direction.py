"""Is it the downward movement that kills? The analysis is that of docs/lab/protocol-cause.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from convblocks.figures.estimates import Estimate
from convblocks.record.result import RunResult
from lab.cause import (
    AS_IS,
    CENTRED,
    LATE_STEP,
    STEP,
    UNREGISTERED,
    Finding,
    Runs,
    arms_of,
    dead,
    difference,
    is_more,
    median_dead,
    more,
)
from lab.statistics import after_holm

UPWARD, ALONE, REPLACED, MATCHED = (
    f"{change}-block-2" for change in ("upward", "alone", "replaced", "matched")
)
CENTRALIZED = ("centralized-block-2", "centralized-network")

# Two arms and a step: more units are to be dead in the first.
Pair = tuple[str, str, int]


@dataclass(frozen=True)
class Compared:
    """Dead units of block 2 in two arms, over the seeds that both have: the median of each, and
    how much more are dead in the first.
    """

    first: float
    second: float
    more: Estimate

    @property
    def spares(self) -> bool:
        """Whether fewer are dead in the second, by its median at most a quarter."""
        return is_more(self.more) and self.second <= self.first / 4


def compared(arms: Runs, pair: Pair) -> Compared:
    """Two arms, without a correction of p."""
    *names, step = pair
    by_seed = [{run.seed: run for run in arms[str(name)]} for name in names]
    seeds = sorted(by_seed[0].keys() & by_seed[1].keys())
    first, second = ([runs[seed] for seed in seeds] for runs in by_seed)
    more = difference(dead(first, step), dead(second, step))
    return Compared(median_dead(first, step), median_dead(second, step), more)


def findings(results: Sequence[RunResult], step: int = STEP) -> dict[str, Finding]:
    """What is found at each rate, after Holm's correction over the pairs of both.

    At STEP it decides (``lab.cause.verdict``), at LATE_STEP it says whether that lasts.
    """
    pairs = [(AS_IS, UPWARD, step), (ALONE, CENTRED, step)]
    pairs += [(AS_IS, REPLACED, step), (MATCHED, CENTRED, step)]
    arms = arms_of(results)
    return {
        rate: _finding(found, median_dead(arms[rate][AS_IS], step))
        for rate, found in _corrected(arms, pairs).items()
    }


def _finding(found: Mapping[Pair, Compared], as_is: float) -> Finding:
    upward, alone, replaced, matched = found.values()
    predictions = {
        "turned upward it does not kill": upward.spares,
        "it kills by itself": is_more(alone.more) and alone.first >= 3 / 4 * as_is,
        "as long a movement that is not common does not": replaced.spares,
        "it is not the change of pre-activations alone": is_more(matched.more),
    }
    refutations = {
        "a common movement kills in either direction": upward.second > upward.first / 2,
        "the common movement needs the rest": alone.first < as_is / 2,
        "any movement of that length kills": replaced.second > replaced.first / 2,
        "it is the size of the step in pre-activations": matched.more.low <= 0,
    }
    refuting = tuple(words for words, is_so in refutations.items() if is_so)
    return Finding(predictions, refuting, _differences(found))


def of_centralization(results: Sequence[RunResult]) -> dict[str, Finding]:
    """Whether Gradient Centralization prevents the dying at each rate: it decides nothing."""
    pairs = [(AS_IS, arm, step) for arm, step in product(CENTRALIZED, (STEP, LATE_STEP))]
    return {
        rate: Finding(
            {
                f"{arm} prevents the dying, at step {step}": one.spares
                for (_, arm, step), one in found.items()
            },
            (),
            _differences(found),
        )
        for rate, found in _corrected(arms_of(results), pairs).items()
    }


def of_matched(results: Sequence[RunResult]) -> dict[str, Finding]:
    """How much a smaller change of pre-activations spares at each rate: it decides nothing."""
    name = f"{AS_IS} minus {MATCHED}, step {STEP} {UNREGISTERED}"
    return {
        rate: Finding({}, (), {name: more(arms, AS_IS, MATCHED)})
        for rate, arms in arms_of(results).items()
    }


def _corrected(arms: Mapping[str, Runs], pairs: Sequence[Pair]) -> dict[str, dict[Pair, Compared]]:
    """The pairs of each rate, p after Holm's correction over those of both."""
    plain = [compared(arms[rate], pair) for rate, pair in product(arms, pairs)]
    corrected = iter(after_holm([one.more for one in plain]))
    found = iter([replace(one, more=next(corrected)) for one in plain])
    return {rate: {pair: next(found) for pair in pairs} for rate in arms}


def _differences(found: Mapping[Pair, Compared]) -> dict[str, Estimate]:
    return {
        f"{first} minus {second}, step {step}": one.more
        for (first, second, step), one in found.items()
    }

"""Verdicts on the notebook's claims, from a comparison of its three networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from convblocks.compare.analysis import NOTEBOOKS, Comparison, Difference, Reading, Test, difference
from convblocks.compare.results import is_of_mnist
from convblocks.compare.statistics import SIGNIFICANCE, holm, least_p_unpaired, permutation_test
from convblocks.figures.grouping import by_arch

Ruling = Literal["supported", "not supported", "undecided", "too few runs"]

# "Roughly equal": the largest network has at most a tenth more parameters than the smallest. Our threshold.
ROUGHLY_EQUAL = 1.1

# "Much better": by more than one point of accuracy. Our threshold too.
MUCH = 0.01


@dataclass(frozen=True)
class Verdict:
    """A ruling and, if it rests on a test, the p-value after Holm's correction over the claims."""

    ruling: Ruling
    p: float | None


@dataclass(frozen=True)
class Claim:
    """A claim of the notebook, the verdicts on it in both readings, and the differences on which they rest."""

    text: str
    all_runs: Verdict
    trained: Verdict
    evidence: tuple[Difference, ...]

    @property
    def readings_differ(self) -> bool:
        return self.all_runs.ruling != self.trained.ruling


def claims_of(comparison: Comparison, test: Test = permutation_test) -> tuple[Claim, ...]:
    """The verdicts on the notebook's five claims; none unless all three of its networks are compared on MNIST."""
    runs = by_arch(comparison.results)
    if not (set(NOTEBOOKS) <= runs.keys() and all(is_of_mnist(one) for one in comparison.results)):
        return ()
    counts = [runs[arch][0].parameters for arch in NOTEBOOKS]
    equal = Verdict("supported" if max(counts) <= ROUGHLY_EQUAL * min(counts) else "not supported", None)
    against_mlp = [one for one in comparison.differences if one.second == "mlp" and one.first in NOTEBOOKS]
    faster, lower, better = (
        tuple(one for one in against_mlp if one.measure == measure)
        for measure in dict.fromkeys(one.measure for one in comparison.differences)
    )
    evidence = {
        "Both convolutional networks train faster than the MLP": faster,
        "Both convolutional networks converge to a lower loss": lower,
        "Both convolutional networks test better than the MLP": better,
        "BatchNorm is much better than MaxPool": (
            difference("score", runs["batchnorm"], runs["maxpool"], margin=MUCH, test=test),
        ),
    }
    all_runs, trained = _verdicts(list(evidence.values()), "all"), _verdicts(list(evidence.values()), "trained")
    tested = map(Claim, evidence, all_runs, trained, evidence.values())
    return (Claim("The three networks have roughly equal numbers of parameters", equal, equal, ()), *tested)


def _verdicts(claims: Sequence[Sequence[Difference]], reading: Reading) -> list[Verdict]:
    """The verdicts on claims that all of their differences are improvements."""
    adjusted = holm([_p_of_all(evidence, reading) for evidence in claims])
    possible = holm([max(_least_p(one, reading) for one in evidence) for evidence in claims])
    verdicts = []
    for evidence, p, least in zip(claims, adjusted, possible, strict=True):
        ruling: Ruling = "too few runs" if least >= SIGNIFICANCE else "undecided"
        if p < SIGNIFICANCE:
            ruling = "supported" if all(one.is_better(reading) for one in evidence) else "not supported"
        verdicts.append(Verdict(ruling, p))
    return verdicts


def _p_of_all(evidence: Sequence[Difference], reading: Reading) -> float:
    """The p-value of "all are improvements" or, if some are not, of the contrary.

    For all, the largest p decides (the intersection-union test: R. L. Berger, Technometrics 24, 1982); against, one
    difference suffices, and the smallest p is corrected for their number.
    """
    against = [one.p(reading) for one in evidence if not one.is_better(reading)]
    return min(1.0, len(evidence) * min(against)) if against else max(one.p(reading) for one in evidence)


def _least_p(one: Difference, reading: Reading) -> float:
    """The p-value if all runs agreed."""
    runs = one.runs if reading == "all" else one.trained_runs
    return least_p_unpaired(*runs, ranks=reading == "all") if min(runs) else 1.0

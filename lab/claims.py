"""The course's notebook: what it prints, and the verdicts on its claims, from a comparison of its
three networks, in a table.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from convblocks.compare.analysis import Comparison
from convblocks.compare.means import runs_that_decide
from convblocks.compare.statistics import SIGNIFICANCE, holm, least_p_unpaired, mean_interval
from convblocks.figures.estimates import LOSS, SECONDS, SHARE, Estimate, p_text
from convblocks.figures.grouping import by_arch
from convblocks.figures.tables import Table
from convblocks.model.class_specs import CONSTANT
from lab import NETWORKS
from lab.differences import FIRST_LOSS, LAST_LOSS, Measure, Measured, Reading, measured, score_of
from lab.results import is_of_mnist, time_to

Ruling = Literal["supported", "not supported", "undecided", "too few runs"]

# A ruling on a claim that rests on a test, and its p after Holm's correction over these.
Judged = tuple[Ruling, float]

# Networks are compared by their time to this accuracy if the loss of the first epoch
# depends on the schedule.
GOAL = 0.98

NOTEBOOK = "notebook's mlp"

# What the course's notebook prints for its MLP, after 5 epochs of a single run: losses
# and accuracy.
NOTEBOOK_MLP = ("0.28", "0.16", "95.38")


TIME = Measure(
    lambda run: time_to(run, GOAL) or math.inf,
    -1,
    SECONDS,
    f", by seconds to {100 * GOAL:.0f} % accuracy",
)

# "Roughly equal": the largest network has at most a tenth more parameters than the
# smallest. Our threshold.
ROUGHLY_EQUAL = 1.1

# "Much better": by more than one point of accuracy. Our threshold too.
MUCH = 0.01


@dataclass(frozen=True)
class Claim:
    """A claim of the notebook, its rulings in both readings, the numbers on which they
    rest, and the measure if that is not in the claim.
    """

    text: str
    rulings: Mapping[Reading, Ruling]
    why: str
    by: str = ""

    @property
    def readings_differ(self) -> bool:
        return self.rulings["all"] != self.rulings["trained"]

    def __str__(self) -> str:
        ruling: str = self.rulings["all"]
        if self.readings_differ:
            ruling += f" ({self.rulings['trained']})"
        return f"{ruling}{self.by}. {self.why}"


def claims_of(comparison: Comparison) -> tuple[Claim, ...]:
    """The verdicts on the notebook's five claims; none unless all three of its networks
    are compared on MNIST.
    """
    runs = by_arch(comparison.results)
    if not (set(NETWORKS) <= runs.keys() and all(map(is_of_mnist, comparison.results))):
        return ()
    counts = [runs[arch][0].parameters for arch in NETWORKS]
    least = min(counts)
    most = max(counts)
    equal: Ruling = "supported" if most <= ROUGHLY_EQUAL * least else "not supported"
    schedules = {run.hparams.get("lr_scheduler") for run in comparison.results}
    # The loss of the first epoch depends on the schedule.
    speed = FIRST_LOSS if schedules == {CONSTANT} else TIME
    score = score_of(comparison.results)

    def against_mlp(measure: Measure) -> tuple[Measured, ...]:
        convolutional = ("batchnorm", "maxpool")
        return tuple(measured(measure, runs[arch], runs["mlp"]) for arch in convolutional)

    evidence = {
        "Both convolutional networks train faster than the MLP": against_mlp(speed),
        "Both convolutional networks converge to a lower loss": against_mlp(LAST_LOSS),
        "Both convolutional networks test better than the MLP": against_mlp(score),
        "BatchNorm is much better than MaxPool": (
            measured(score, runs["batchnorm"], runs["maxpool"], MUCH),
        ),
    }
    claims = [
        Claim(
            "The three networks have roughly equal numbers of parameters",
            {"all": equal, "trained": equal},
            f"{least:,} to {most:,}: {100 * (most / least - 1):.1f} % apart.",
        )
    ]
    judged = list(evidence.values())
    all_runs = _judged(judged, "all")
    trained = _judged(judged, "trained")
    for (text, own), of_all, of_trained in zip(evidence.items(), all_runs, trained, strict=True):
        rulings: dict[Reading, Ruling] = {"all": of_all[0], "trained": of_trained[0]}
        claims.append(Claim(text, rulings, _why(own, of_all, of_trained), own[0].measure.by))
    return tuple(claims)


def claims_tables(comparisons: Mapping[str, Comparison]) -> list[Table]:
    """The table of the notebook's claims, with a verdict and why for each comparison;
    none without its networks.
    """
    found = [claims_of(comparison) for comparison in comparisons.values()]
    if not all(found):
        return []
    lines = [[claims[0].text, *map(str, claims)] for claims in zip(*found, strict=True)]
    notes = [
        "At 5 %, after Holm's correction over 4 claims. Our "
        "thresholds: *roughly equal* is at most "
        f"{100 * (ROUGHLY_EQUAL - 1):.0f} % apart, *much better* is "
        f"better by more than {100 * MUCH:.0f} point. Intervals are "
        "not corrected. A verdict is over all runs, collapsed ones as "
        "the worst; in brackets, if it differs, over the runs that "
        "trained. *Not supported*: the contrary is significant. The first "
        "runs of these seeds, on another machine, left the last claim over all "
        "runs undecided ([Run again](protocol.md))."
    ]
    return [Table("The notebook's claims", ["claim", *comparisons], lines, notes)]


def _why(evidence: Sequence[Measured], of_all: Judged, of_trained: Judged) -> str:
    """The numbers on which a verdict rests."""
    all_ruling, all_p = of_all
    ruling, p = of_trained
    collapses = any(one.runs != one.trained_runs for one in evidence)
    parts = [_evidence(evidence, "trained", p, "If trained: " if collapses else "")]
    if all_ruling != ruling:
        weakest = max(evidence, key=lambda one: one.p("all"))
        parts.append(_evidence([weakest], "all", all_p, "All runs: "))
    elif collapses:
        parts.append(f"All runs: {p_text(all_p)}.")
    if "too few runs" in (all_ruling, ruling):
        parts.append(f"It takes {runs_that_decide(4)} trained runs of each.")
    return " ".join(parts)


def _judged(claims: Sequence[Sequence[Measured]], reading: Reading) -> list[Judged]:
    """The rulings on claims that all of their differences are improvements."""
    adjusted = holm([_p_of_all(evidence, reading) for evidence in claims])
    possible = holm([max(_least_p(one, reading) for one in evidence) for evidence in claims])
    judged = []
    for evidence, p, least in zip(claims, adjusted, possible, strict=True):
        ruling: Ruling = "undecided"
        if p < SIGNIFICANCE:
            holds = all(one.is_better(reading) for one in evidence)
            ruling = "supported" if holds else "not supported"
        elif least >= SIGNIFICANCE:
            ruling = "too few runs"
        judged.append((ruling, p))
    return judged


def _p_of_all(evidence: Sequence[Measured], reading: Reading) -> float:
    """The p-value of "all are improvements" or, if some are not, of the contrary.

    For all, the largest p decides (the intersection-union test: R. L. Berger,
    Technometrics 24, 1982); against, one difference suffices, and the smallest p is
    corrected for their number.
    """
    against = [one.p(reading) for one in evidence if not one.is_better(reading)]
    if against:
        return min(1.0, len(evidence) * min(against))
    return max(one.p(reading) for one in evidence)


def _least_p(one: Measured, reading: Reading) -> float:
    """The p-value if all runs agreed."""
    runs = one.runs if reading == "all" else one.trained_runs
    if not min(runs):
        return 1.0
    # The ranks of either sample may all be above.
    sides = 2 if reading == "all" and runs[0] != runs[1] else 1
    return sides * least_p_unpaired(*runs)


def _evidence(evidence: Sequence[Measured], reading: Reading, p: float, opening: str) -> str:
    """The differences of one reading, and the p-value of the claim."""
    parts = []
    for one in evidence:
        estimate = one.estimate(reading)
        first = "" if one.margin else f"{one.first} "
        if estimate is None:
            failing = one.second if one.trained_runs[0] else one.first
            parts.append(f"no run of {failing} trained")
        elif estimate.unit == SHARE:
            margin = f" by more than {100 * one.margin:.0f} point" if one.margin else ""
            parts.append(f"{first}better{margin} in {estimate}")
        else:
            parts.append(f"{first}{estimate:+u}")
    return f"{opening}{', '.join(parts)} ({p_text(p)})."


def mean_losses(comparison: Comparison, arch: str) -> list[Estimate | None]:
    """The mean losses of the first and the last epoch, over a network's runs that
    trained; None if none did.
    """
    trained = [run for run in comparison.results if run.arch == arch and not run.failed]
    return [
        mean_interval([*map(one.value, trained)], LOSS) if trained else None
        for one in (FIRST_LOSS, LAST_LOSS)
    ]

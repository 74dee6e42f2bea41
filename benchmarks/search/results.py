"""What searches found, and what that cost."""

from dataclasses import dataclass, field
from itertools import accumulate
from statistics import median
from typing import Literal, NamedTuple

Variant = Literal["tpe", "random", "grid"]

# What each variant is, in the order of the tables.
VARIANTS: dict[Variant, str] = {
    "tpe": "TPE, and the median pruner",
    "random": "random search, all trials to their end",
    "grid": "the study's first grid, in its order",
}


@dataclass(frozen=True)
class Tried:
    """A trial: its seconds of training and evaluation, and its validation accuracy, None where it was ended early."""

    seconds: float
    accuracy: float | None


@dataclass(frozen=True)
class Course:
    """The trials of one search, in their order; where they ran side by side their seconds are added up all the same."""

    variant: Variant
    repeat: int
    trials: list[Tried]

    def seconds(self) -> float:
        return sum(one.seconds for one in self.trials)

    def steps(self) -> list[tuple[float, float]]:
        """After how many seconds there was which best validation accuracy, whenever it rose."""
        found: list[tuple[float, float]] = []
        for seconds, one in zip(accumulate(one.seconds for one in self.trials), self.trials, strict=True):
            if one.accuracy is not None and (not found or one.accuracy > found[-1][1]):
                found.append((seconds, one.accuracy))
        return found

    def best_after(self, seconds: float) -> float | None:
        """The best validation accuracy of the trials that had ended by then."""
        return max((accuracy for at, accuracy in self.steps() if at <= seconds), default=None)


@dataclass(frozen=True)
class Started:
    """Seconds from one run's start to the next one's, of the same short run: as trials of a search, by compare.py."""

    search: float
    compare: float


class Reached(NamedTuple):
    """A validation accuracy over the repeats: its median, and the lowest and highest."""

    value: float
    low: float
    high: float


@dataclass
class Results:
    """All searches of a benchmark.

    Args:
        machine: Processor, system, versions.
        commit: Of the code.
        arguments: The benchmark's command line.
        arch: The network.
        epochs: Of each trial.
        courses: Each variant, once for each repeat.
        started: What a search adds to a run, once for each round.
    """

    machine: str
    commit: str | None
    arguments: list[str]
    arch: str
    epochs: int
    courses: list[Course] = field(default_factory=list)
    started: list[Started] = field(default_factory=list)

    def of(self, variant: Variant) -> list[Course]:
        return [one for one in self.courses if one.variant == variant]

    def variants(self) -> list[Variant]:
        return [variant for variant in VARIANTS if self.of(variant)]

    def repeats(self) -> list[int]:
        return sorted({one.repeat for one in self.courses})

    def equal_cost(self, repeat: int) -> float:
        """The seconds that every search of a repeat took, the grid's apart: it is what it is."""
        return min(one.seconds() for one in self.courses if one.repeat == repeat and one.variant != "grid")

    def reached(self, variant: Variant, share: float) -> Reached | None:
        """The accuracy at that share of the equal cost; None where some repeat had no result by then."""
        found = [one.best_after(share * self.equal_cost(one.repeat)) for one in self.of(variant)]
        known = [accuracy for accuracy in found if accuracy is not None]
        return Reached(median(known), min(known), max(known)) if len(known) == len(found) else None

    def gains(self) -> list[float]:
        """By how much TPE's best is above random search's at equal cost, for each repeat in which both have one."""
        found = []
        for tpe, random in zip(self.of("tpe"), self.of("random"), strict=True):
            ours, theirs = (one.best_after(self.equal_cost(one.repeat)) for one in (tpe, random))
            if ours is not None and theirs is not None:
                found.append(ours - theirs)
        return found

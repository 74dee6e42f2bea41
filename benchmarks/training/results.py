"""What was measured, and the targets that its ratios are held against."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from benchmarks.ratios import ratio
from benchmarks.training.case import Precision, Variant
from benchmarks.training.measure import Measurement
from benchmarks.training.operators import OperatorTime
from convblocks.estimates import Estimate


@dataclass(frozen=True)
class CommandTime:
    """Seconds of a whole command."""

    name: str
    arch: str
    seconds: float


@dataclass
class Results:
    """All that one benchmark measured, in the order in which it did.

    Args:
        machine: Processor, system, versions.
        commit: Of the code that was measured; None where it is not known.
        arguments: The benchmark's command line.
        threads: CPU threads of each measurement.
        rounds: How often everything was measured.
        steps: Training steps of an epoch, None for all.
        epochs: Epochs at the course's batch size.
        growth: Parts of epochs at growing batch sizes, the smallest several times a round.
        commands: Whole commands.
        operators: What the convolutional networks' steps consist of, profiled once.
        minutes: How long all of it took.
    """

    machine: str
    commit: str | None
    arguments: list[str]
    threads: int
    rounds: int
    steps: int | None
    epochs: list[Measurement] = field(default_factory=list)
    growth: list[Measurement] = field(default_factory=list)
    commands: list[CommandTime] = field(default_factory=list)
    operators: list[OperatorTime] = field(default_factory=list)
    minutes: float = 0.0

    def of(self, variant: Variant, arch: str, precision: Precision) -> list[Measurement]:
        """The epochs of a variant, one a round."""
        return [
            measurement
            for measurement in self.epochs
            if (measurement.case.variant, measurement.case.arch, measurement.case.precision)
            == (variant, arch, precision)
        ]

    def command(self, name: str, arch: str) -> list[float]:
        """The seconds of a command, one a round."""
        return [time.seconds for time in self.commands if (time.name, time.arch) == (name, arch)]

    def steps_of_pair(self) -> int:
        """The steps of each measurement at the smallest batch size."""
        return next(one.case.steps or 0 for one in self.growth if one.case.batch_size == self.smallest_batch())

    def smallest_batch(self) -> int:
        return min(one.case.batch_size for one in self.growth)

    def archs(self) -> list[str]:
        return list(dict.fromkeys(measurement.case.arch for measurement in self.epochs))


Quantity = Callable[[Results, str], list[float]]  # of a network: a number for every time it was measured


@dataclass(frozen=True)
class Target:
    """A bar for a ratio of two quantities: the least or the most that it should be, for each network that has one."""

    name: str
    bar: Literal["at least", "at most"]
    limits: dict[str, float]
    above: Quantity
    below: Quantity

    def measured(self, results: Results, arch: str) -> Estimate:
        return measured(results, arch, self.above, self.below)

    def verdict(self, results: Results, arch: str) -> str:
        """Whether it is met, missed or undecided."""
        ratio = self.measured(results, arch)
        limit = self.limits[arch]
        return ratio.at_least(limit) if self.bar == "at least" else ratio.at_most(limit)


def measured(results: Results, arch: str, above: Quantity, below: Quantity) -> Estimate:
    """The ratio of two quantities of a network, round by round."""
    own = above(results, arch)
    return ratio(own, below(results, arch), repeats=len(own) // results.rounds)


def epoch(variant: Variant, precision: Precision = "32-true") -> Quantity:
    """Seconds of an epoch with its evaluation."""
    return lambda results, arch: [one.timing.epoch for one in results.of(variant, arch, precision)]


def training(variant: Variant, precision: Precision = "32-true") -> Quantity:
    """Seconds of training steps alone, at the smallest batch size: that is measured several times a round."""
    return lambda results, arch: [
        one.timing.training
        for one in results.growth
        if (one.case.variant, one.case.arch, one.case.precision) == (variant, arch, precision)
        and one.case.batch_size == results.smallest_batch()
    ]


def memory(variant: Variant) -> Quantity:
    """Bytes by which the process grew at most."""
    return lambda results, arch: [float(one.peak_memory) for one in results.of(variant, arch, "32-true")]


def command(name: str) -> Quantity:
    """Seconds of a whole command; one that has to do with no network counts for each."""
    return lambda results, arch: results.command(name, arch) or results.command(name, "")


def variants_of(measurements: Sequence[Measurement]) -> list[Variant]:
    """Those that were measured, in that order."""
    return list(dict.fromkeys(one.case.variant for one in measurements))


def rates(results: Results, arch: str, variant: Variant) -> dict[int, float]:
    """Batch size -> training steps a second, by the median time of its rounds."""
    own: dict[int, list[Measurement]] = {}
    for one in results.growth:
        if (one.case.arch, one.case.variant, one.case.precision) == (arch, variant, "32-true"):
            own.setdefault(one.case.batch_size, []).append(one)
    return {
        size: (those[0].case.steps or 0) / median(one.timing.training for one in those) for size, those in own.items()
    }


TARGETS = (
    Target(
        "epoch: lightning-plain / fit",
        "at least",
        {"mlp": 10, "maxpool": 2.2, "batchnorm": 2.6},
        epoch("lightning-plain"),
        epoch("fit"),
    ),
    Target(
        "epoch: notebook / fit",
        "at least",
        {"mlp": 3.5, "maxpool": 1.6, "batchnorm": 1.8},
        epoch("notebook"),
        epoch("fit"),
    ),
    Target(
        "training steps: fit / bare",
        "at most",
        {"mlp": 1.6, "maxpool": 0.92, "batchnorm": 1.0},
        training("fit"),
        training("bare"),
    ),
    Target(
        "training steps in bf16-mixed: fit / bare",
        "at most",
        {"maxpool": 0.85},
        training("fit", "bf16-mixed"),
        training("bare", "bf16-mixed"),
    ),
    Target(
        "epoch: lightning-plain in 32 bit / fit in bf16-mixed",
        "at least",
        {"maxpool": 4, "batchnorm": 2.5},
        epoch("lightning-plain"),
        epoch("fit", "bf16-mixed"),
    ),
    Target(
        "peak memory above the imports: fit / bare",
        "at most",
        {"mlp": 1.3, "maxpool": 1.3, "batchnorm": 1.3},
        memory("fit"),
        memory("bare"),
    ),
    Target(
        "start: fit.py to its first step / import lightning, torchvision",
        "at most",
        {"mlp": 1.25, "maxpool": 1.25, "batchnorm": 1.25},
        command("first step"),
        command("imports"),
    ),
    Target(
        "compare.py: one trial at a time with all threads / one trial a thread",
        "at least",
        {"mlp": 1.3, "batchnorm": 1.1},
        command("one by one"),
        command("side by side"),
    ),
)

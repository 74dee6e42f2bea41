"""What was measured, and the targets for how this project's pace compares with plain Lightning's."""

from dataclasses import dataclass, field
from statistics import median

from benchmarks.processes.measure import Measurement
from benchmarks.processes.variants import Variant
from benchmarks.ratios import ratio
from convblocks.estimates import Estimate

# The least that the pace of fit should be of plain's at the smallest batch size; at larger ones, more than there.
TARGETS = {"mlp": 1.2, "maxpool": 1.0, "batchnorm": 0.55}


@dataclass
class Results:
    """All that one benchmark measured, in the order in which it did.

    Args:
        machine: Processor, system, versions.
        commit: Of the code that was measured; None where it is not known.
        arguments: The benchmark's command line.
        rounds: How often the variants were compared.
        compared: Both variants with 1 and 2 processes, every round.
        recorded: What is sent in a step, once.
        minutes: How long all of it took.
    """

    machine: str
    commit: str | None
    arguments: list[str]
    rounds: int
    compared: list[Measurement] = field(default_factory=list)
    recorded: list[Measurement] = field(default_factory=list)
    minutes: float = 0.0

    def archs(self) -> list[str]:
        return list(dict.fromkeys(one.case.arch for one in self.compared))

    def batch_sizes(self) -> list[int]:
        return sorted({one.case.batch_size for one in self.compared})

    def recorded_batch_size(self) -> int:
        """The images of a step of one process, which strong scaling shares."""
        return min(one.case.batch_size for one in self.recorded)

    def of(self, variant: Variant, arch: str, batch_size: int, processes: int) -> list[Measurement]:
        """What was compared, one a round."""
        wanted = (variant, arch, batch_size, processes)
        return [
            one
            for one in self.compared
            if (one.case.variant, one.case.arch, one.case.batch_size, one.case.processes) == wanted
        ]

    def rate(self, variant: Variant, arch: str, batch_size: int, processes: int) -> float:
        """Steps a second, by the median time of the rounds."""
        own = self.of(variant, arch, batch_size, processes)
        return own[0].case.steps / median(one.seconds for one in own)

    def pace(self, arch: str, batch_size: int, processes: int) -> Estimate:
        """Steps a second of fit, as a share of plain's: the ratio of the seconds, the other way around."""
        return ratio(*self._seconds(arch, batch_size, processes))

    def gain(self, variant: Variant, arch: str, batch_size: int) -> Estimate:
        """Steps a second of 2 processes, as a multiple of those of 1."""
        one, two = (self.of(variant, arch, batch_size, processes) for processes in (1, 2))
        return ratio([each.seconds / each.case.steps for each in one], [each.seconds / each.case.steps for each in two])

    def verdict(self, arch: str, batch_size: int) -> str:
        """Whether 2 processes meet the target."""
        smallest = min(self.batch_sizes())
        if batch_size == smallest:
            return f"at least {TARGETS[arch]:g}: {self.pace(arch, batch_size, 2).at_least(TARGETS[arch])}"
        paces = (
            [plain / fit for plain, fit in zip(*self._seconds(arch, size, processes=2), strict=True)]
            for size in (batch_size, smallest)
        )
        return f"more than at {smallest}: {ratio(*paces).at_least(1)}"

    def _seconds(self, arch: str, batch_size: int, processes: int) -> tuple[list[float], list[float]]:
        """Of plain and of fit, one a round."""
        plain, fit = (self.of(variant, arch, batch_size, processes) for variant in ("plain", "fit"))
        return [one.seconds for one in plain], [one.seconds for one in fit]

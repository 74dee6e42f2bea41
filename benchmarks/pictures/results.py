"""What was measured, as ratios within a round, and the targets that these are held against."""

from dataclasses import dataclass, field

from benchmarks.pictures.data import Data
from benchmarks.pictures.measure import Measurement, Reading, What
from benchmarks.ratios import ratio
from convblocks.estimates import Estimate

# The most that an epoch on a folder of pictures may take of one on MNIST's own files.
FOLDER_TARGET = 1.05

# The most by which an epoch may grow more than the bare steps do, when the pictures get larger.
COLOUR_TARGET = 1.1


@dataclass
class Results:
    """All that one benchmark measured, in the order in which it did.

    Args:
        machine: Processor, system, versions.
        commit: Of the code that was measured; None where it is not known.
        arguments: The benchmark's command line.
        threads: CPU threads of each measurement of training.
        rounds: How often everything was measured.
        pictures: Training pictures of the folder.
        multiply_adds: Of one image, by network and data set.
        trained: Epochs and bare steps.
        read: Images that were got into memory.
        minutes: How long all of it took.
    """

    machine: str
    commit: str | None
    arguments: list[str]
    threads: int
    rounds: int
    pictures: int
    multiply_adds: dict[str, dict[Data, int]]
    trained: list[Measurement] = field(default_factory=list)
    read: list[Reading] = field(default_factory=list)
    minutes: float = 0.0

    def archs(self) -> list[str]:
        return list(self.multiply_adds)

    def steps(self, arch: str) -> int:
        """The training steps of each measurement."""
        return next(one.case.steps for one in self.trained if one.case.arch == arch)

    def seconds(self, what: What, arch: str, data: Data) -> list[float]:
        """Of epochs or of bare steps, one a round."""
        wanted = (what, arch, data)
        return [one.median for one in self.trained if (one.case.what, one.case.arch, one.case.data) == wanted]

    def seconds_of_reading(self, way: str) -> list[float]:
        """One a round."""
        return [one.seconds for one in self.read if one.way == way]

    def growth(self, what: What, arch: str, data: Data) -> Estimate:
        """Seconds on a data set, as a multiple of those on MNIST's own files."""
        return ratio(self.seconds(what, arch, data), self.seconds(what, arch, "MNIST"))

    def growth_of_arithmetic(self, arch: str) -> float:
        """Multiply-adds on the colour pictures, as a multiple of those on MNIST."""
        return self.multiply_adds[arch]["colour"] / self.multiply_adds[arch]["MNIST"]

    def proportion(self, arch: str) -> Estimate:
        """By how much epochs grow from MNIST to the colour pictures, as a multiple of how much bare steps do."""
        epochs, bare = (
            [
                colour / grey
                for colour, grey in zip(
                    self.seconds(what, arch, "colour"), self.seconds(what, arch, "MNIST"), strict=True
                )
            ]
            for what in ("epoch", "bare")
        )
        return ratio(epochs, bare)

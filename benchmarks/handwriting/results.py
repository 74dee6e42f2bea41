"""What networks took the drawings for, picture by picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Drawn:
    """What a picture shows, and how it came about: see ``drawing.Drawing``."""

    digit: int
    kind: str
    form: str
    background: str


@dataclass(frozen=True)
class Network:
    """A network that a run has trained.

    Args:
        arch: Its name.
        schedule: The learning rate's, by its short name.
        epochs: How many it was trained for.
        seed: The run's.
        threads: CPU threads of the run.
        machine: What it was trained on: processor, system, versions.
        commit: Of the code that trained it; None where it is not known.
        accuracy: On MNIST's test images, 0..1.
        answers: The digit that it sees in each drawing.
    """

    arch: str
    schedule: str
    epochs: int
    seed: int
    threads: int
    machine: str
    commit: str | None
    accuracy: float
    answers: list[int]


@dataclass
class Results:
    """All answers.

    Args:
        machine: Processor, system and versions, those of what draws included.
        commit: Of the code that drew and asked; None where it is not known.
        seed: The drawings'.
        drawn: The pictures.
        networks: Those that were asked.
    """

    machine: str
    commit: str | None
    seed: int
    drawn: list[Drawn]
    networks: list[Network] = field(default_factory=list)

    def score(self, network: Network, kind: str = "", background: str = "", digit: int | None = None) -> "Score":
        """How many pictures, of that kind and so on, a network gets right."""
        right = [
            picture.digit == answer
            for picture, answer in self.answered(network)
            if kind in ("", picture.kind) and background in ("", picture.background) and digit in (None, picture.digit)
        ]
        return Score(sum(right), len(right))

    def answered(self, network: Network) -> Iterator[tuple[Drawn, int]]:
        return zip(self.drawn, network.answers, strict=True)

    def digits(self) -> Sequence[int]:
        return sorted({picture.digit for picture in self.drawn})


@dataclass(frozen=True)
class Score:
    """How many of n pictures are recognised."""

    right: int
    n: int

    @property
    def share(self) -> float:
        return self.right / self.n

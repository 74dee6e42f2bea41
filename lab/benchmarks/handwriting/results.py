"""What networks took the drawings for, picture by picture."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Drawn:
    """What a picture shows, and how it came about."""

    digit: int
    kind: str  # "strokes" or "font"
    form: str  # the shape's or the font's name
    background: str


@dataclass(frozen=True)
class Network:
    """A network that a run has trained, what is to be known of that run, and the digit
    that it sees in each drawing.
    """

    arch: str
    schedule: str
    epochs: int
    seed: int
    threads: int
    machine: str
    commit: str | None
    accuracy: float  # on MNIST's test images, 0..1
    answers: list[int]
    lr: float = 0.01  # of records that do not say it, which fit's default trained


@dataclass
class Results:
    """All answers, and where the pictures were drawn: the seed, the versions of what
    draws included.
    """

    machine: str
    commit: str | None
    seed: int
    drawn: list[Drawn]
    networks: list[Network]

    def right(self, network: Network, **labels: object) -> list[bool]:
        """Whether a network recognises each of the pictures with these labels, such as
        ``kind="font"``.
        """
        return [
            picture.digit == answer
            for picture, answer in zip(self.drawn, network.answers, strict=True)
            if labels.items() <= vars(picture).items()
        ]

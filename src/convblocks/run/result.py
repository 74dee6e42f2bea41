"""The result of a finished run."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeVar

from convblocks.data.images import ImageSpec
from convblocks.run.judge import ACCURACY, LOSS, Judge

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)

# The name of a metric, and its value.
Row = dict[str, int | float]

# Options of fit without their dashes, and their values, by which the runs of a comparison differ.
Overrides = tuple[tuple[str, str], ...]

# ``ended_by`` of a run that was not ended early.
EPOCHS = "its epochs"


@dataclass(frozen=True)
class Images:
    """The images that a run was trained and tested on."""

    spec: ImageSpec
    train: int
    test: int


@dataclass(frozen=True)
class Provenance:
    """Where a run's numbers come from; None where that is unknown.

    Args:
        machine: Processor, system and versions in one line.
        commit: Of the code, with ``-dirty`` where files differed from it.
        data: The MD5 of each part of the data, by its name.
        device: Such as ``cpu`` or ``cuda:0``.
        processes: How many trained together.
        threads: Of each process.
    """

    machine: str
    commit: str | None
    data: dict[str, str] | None
    device: str
    processes: int
    threads: int


@dataclass(frozen=True)
class ConstantAnswer:
    """What a network gets on the training images that answers all of them with the shares of their classes.

    Args:
        accuracy: Above which a network has learned something.
        loss: The cross-entropy, which is the entropy of the shares; None if the run has another loss.
    """

    accuracy: float
    loss: float | None


@dataclass(frozen=True)
class Diagnosis:
    """A sentence with the evidence, and options of fit to try next; none if it takes more than options."""

    sentence: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """All that is known of a finished run. Losses are means over an epoch's training images, accuracies in 0..1.

    Args:
        arch: The network, or the user's own LightningModule.
        seed: Of weights and data order.
        parameters: The number of trainable parameters.
        lr_scheduler: The short name of the schedule; empty for a user's own module.
        epochs: The rows of metrics.csv, one for each epoch: ``epoch`` from 1, ``step``, ``seconds``, ``train/loss``,
            ``test/acc`` or ``val/acc``, and ``dead/<layer>``, the share of dead units; or what the module logs.
        final: The metrics of the final weights; with validation images those of the best evaluation.
        ended_by: Why it ended, ``EPOCHS`` where nothing ended it early.
        collapsed: Whether it diverged, or learned nothing and cannot recover.
        provenance: Where its numbers come from.
        chance_threshold: The test accuracy up to which a network has learned nothing; None where nobody has found it.
        images: What it was trained and tested on; None if the user's own module took something else.
        judge: The metric that it is judged by.
        evaluations: The rows of evaluations within an epoch.
        mistakes: The numbers of the test images that the final network gets wrong; None where nobody has looked, or
            its logits are not finite.
        constant_answer: The best one to the training images, where it is known.
        lr: The learning rate, which a callback may have chosen.
        batch_size: Of all processes together, which a callback may have chosen.
        overrides: The options by which it differs from other runs of its comparison.
        diagnosis: What is wrong with it, if anything was found.

    Raises:
        ValueError: there are no epochs, or they are not 1, 2, 3 and so on; or metrics are missing or impossible.
    """

    arch: str
    seed: int
    parameters: int
    lr_scheduler: str
    epochs: tuple[Row, ...]
    final: Row
    ended_by: str
    collapsed: bool
    provenance: Provenance
    chance_threshold: float | None = None
    images: Images | None = None
    judge: Judge = ACCURACY
    evaluations: tuple[Row, ...] = ()
    mistakes: tuple[int, ...] | None = None
    constant_answer: ConstantAnswer | None = None
    lr: float | None = None
    batch_size: int | None = None
    overrides: Overrides = ()
    diagnosis: Diagnosis | None = None

    def __post_init__(self) -> None:
        if not self.epochs or [row.get("epoch") for row in self.epochs] != list(range(1, len(self.epochs) + 1)):
            raise ValueError("its epochs are not 1, 2, 3 and so on")
        rows = [*self.epochs, *self.evaluations]
        if any({"epoch", "step", "seconds"} - row.keys() for row in rows):
            raise ValueError("its rows lack epoch, step or seconds")
        if self.images:
            self._check_images(rows)
        if not {self.judge.metric, self.judge.tested} & self.final.keys():
            raise ValueError(f"it lacks {self.judge.tested}")

    def _check_images(self, rows: Sequence[Row]) -> None:
        if "test/acc" not in self.final or not all("train/loss" in row for row in self.epochs):
            raise ValueError("it lacks train/loss or test/acc")
        accuracies = [row[name] for row in (*rows, self.final) for name in ("val/acc", "test/acc") if name in row]
        if not all(0 <= accuracy <= 1 for accuracy in accuracies):
            raise ValueError("an accuracy is not in 0..1")
        assert self.images is not None
        if self.mistakes and not 0 <= min(self.mistakes) <= max(self.mistakes) < self.images.test:
            raise ValueError("its mistakes are not among the test images")

    @property
    def score(self) -> float:
        """The judged metric at the end: on test data, where it is measured on these."""
        return self.final[self.judge.measured_in(self.final)]

    @property
    def score_name(self) -> str:
        """Of the metric that ``score`` is."""
        return "test accuracy" if self.images else self.judge.measured_in(self.final)

    @property
    def best_evaluation(self) -> Mapping[str, float] | None:
        """The evaluation whose checkpoint is kept; None where there are no validation data."""
        return (LOSS if self.images else self.judge).best((*self.epochs, *self.evaluations))

    @property
    def validation(self) -> float | None:
        """The judged metric at the best evaluation; None where there are no validation data."""
        return self.best_evaluation[self.judge.metric] if self.best_evaluation else None

    @property
    def first_loss(self) -> float:
        return self.epochs[0]["train/loss"]

    @property
    def last_loss(self) -> float:
        return self.epochs[-1]["train/loss"]

    @property
    def seconds(self) -> float:
        """Of training and evaluation, without the start of the process."""
        return sum(row["seconds"] for row in (*self.epochs, *self.evaluations))

    @property
    def has_diverged(self) -> bool:
        return not math.isfinite(self.last_loss) if self.images else self.collapsed

    @property
    def scores(self) -> list[float]:
        """The judged metric after each epoch, on validation data if there are any; nan where it was not measured."""
        return [row.get(self.judge.metric, row.get(self.judge.tested, math.nan)) for row in self.epochs]

    @property
    def collapsed_in(self) -> int | None:
        """From which epoch on no evaluation of a collapsed run was above chance; its last one if none shows it."""
        if not self.collapsed:
            return None
        if (chance := self.chance_threshold) is None:
            return len(self.epochs)
        rows = sorted((*self.epochs, *self.evaluations), key=lambda row: row["step"])
        evaluated = [(row["epoch"], row.get("val/acc", row.get("test/acc"))) for row in rows]
        measured = [(int(epoch), accuracy) for epoch, accuracy in evaluated if accuracy is not None]
        since = list(takewhile(lambda one: not one[1] > chance, reversed(measured)))
        return since[-1][0] if since else len(self.epochs)

    def is_done(self, epochs: int) -> bool:
        """Whether that many epochs were wanted and are there, or something ended the run early."""
        return self.ended_by != EPOCHS or len(self.epochs) >= epochs


def by_arch(results: Iterable[RunResult]) -> dict[str, list[RunResult]]:
    """The runs of each network, in their order."""
    return grouped(results, lambda one: one.arch)


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Items with the same key together, in their order."""
    found: dict[Key, list[Item]] = {}
    for one in items:
        found.setdefault(key(one), []).append(one)
    return found

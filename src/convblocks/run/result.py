"""The result of a finished run."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from convblocks.run.judge import Judge

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)

# The name of a metric, and its value.
Row = dict[str, int | float]

# Options of fit without their dashes, and their values, by which the runs of a comparison differ.
Overrides = tuple[tuple[str, str], ...]

# ``ended_by`` of a run that was not ended early.
EPOCHS = "its epochs"


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
class RunResult:
    """What is known of a finished run of any kind, and what callbacks add to it.

    Args:
        arch: The name of what was trained.
        seed: Of weights and data order.
        parameters: The number of trainable parameters.
        hparams: Hyper-parameters of module and data that are plain values, such as ``lr`` and ``batch_size``, which a
            callback may have chosen.
        epochs: The rows of metrics.csv, one for each epoch: ``epoch`` from 1, ``step``, ``seconds``, and all that is
            logged.
        final: The metrics of the final weights; where a best checkpoint is kept, those of the best evaluation.
        judge: The metric that it is judged by.
        monitor: The metric by which the best checkpoint is kept.
        ended_by: Why it ended, ``EPOCHS`` where nothing ended it early.
        failed: Whether it diverged, or learned nothing and cannot recover.
        provenance: Where its numbers come from.
        evaluations: The rows of evaluations within an epoch.
        overrides: The options by which it differs from other runs of its comparison.
        facts: Plain values (of JSON) that callbacks of wings add by name, such as ``mistakes``. Any may be missing.

    Raises:
        ValueError: there are no epochs, or they are not 1, 2, 3 and so on; or the judged metric is missing.
    """

    arch: str
    seed: int
    parameters: int
    hparams: dict[str, Any]
    epochs: tuple[Row, ...]
    final: Row
    judge: Judge
    monitor: Judge
    ended_by: str
    failed: bool
    provenance: Provenance
    evaluations: tuple[Row, ...] = ()
    overrides: Overrides = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.epochs or [row.get("epoch") for row in self.epochs] != list(range(1, len(self.epochs) + 1)):
            raise ValueError("its epochs are not 1, 2, 3 and so on")
        if any({"epoch", "step", "seconds"} - row.keys() for row in (*self.epochs, *self.evaluations)):
            raise ValueError("its rows lack epoch, step or seconds")
        if not {self.judge.metric, self.judge.tested} & self.final.keys():
            raise ValueError(f"it lacks {self.judge.tested}")

    @property
    def score(self) -> float:
        """The judged metric at the end: on test data, where it is measured on these."""
        return self.final[self.judge.measured_in(self.final)]

    @property
    def score_name(self) -> str:
        """Of the metric that ``score`` is."""
        measured = self.judge.measured_in(self.final)
        if not self.judge.in_percent:
            return measured
        return "test accuracy" if measured == self.judge.tested else self.judge.name

    @property
    def best_evaluation(self) -> Mapping[str, float] | None:
        """The evaluation whose checkpoint is kept; None where there are no validation data."""
        return self.monitor.best((*self.epochs, *self.evaluations))

    @property
    def validation(self) -> float | None:
        """The judged metric at the best evaluation; None where there are no validation data."""
        return self.best_evaluation.get(self.judge.metric) if self.best_evaluation else None

    @property
    def first_loss(self) -> float:
        """Of training, over the first epoch; nan where it is not logged."""
        return self.epochs[0].get("train/loss", math.nan)

    @property
    def last_loss(self) -> float:
        return self.epochs[-1].get("train/loss", math.nan)

    @property
    def seconds(self) -> float:
        """Of training and evaluation, without the start of the process."""
        return sum(row["seconds"] for row in (*self.epochs, *self.evaluations))

    @property
    def scores(self) -> list[float]:
        """The judged metric after each epoch, on validation data if there are any; nan where it was not measured."""
        return [row.get(self.judge.metric, row.get(self.judge.tested, math.nan)) for row in self.epochs]

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

"""The result of a finished run, and its JSON, which stands in ``summary.json`` and in files
of many results.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from convblocks.errors import UserError
from convblocks.record.judge import Judge, Metrics
from convblocks.text import Settings, as_json

# The metrics of an epoch or an evaluation, by name, with its place.
Row = dict[str, int | float]

# The names in a row that are no metrics of the module.
PLACE = ("step", "epoch", "seconds", "train/lr")

# Options of fit without their dashes, and their values, by which the runs of a comparison differ.
Overrides = tuple[tuple[str, str], ...]

# ``ended_by`` of a run that was not ended early.
EPOCHS = "its epochs"


@dataclass(frozen=True)
class Provenance:
    """The origin of a run's numbers; fields that are not known are None.

    Args:
        machine: Processor, system and versions of packages, in one line.
        commit: The git commit of the code, with ``-dirty`` where files differed from it.
        data: The MD5 of each part of the data, by its name.
        device: The device that trained, such as ``cpu`` or ``cuda:0``.
        processes: How many processes trained together.
        threads: The CPU threads of each process.
        processor: Family, model and vector instructions; older results lack it.
        code: A digest of the user's own code; older results lack it.
        edited: The modules that were changed between a start of the run and its resume.
    """

    machine: str
    commit: str | None
    data: dict[str, str] | None
    device: str
    processes: int
    threads: int
    processor: str | None = None
    code: str | None = None
    edited: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The machine's line, with the processor's details in it."""
        return with_processor(self.machine, self.processor)


@dataclass(frozen=True)
class RunResult:
    """The result of a finished run of any kind, with what callbacks add to it.

    Args:
        arch: The name of what was trained.
        seed: The seed of weights and of the order of the data.
        parameters: The number of parameters.
        hparams: Hyper-parameters of module and data that are plain values, such as
            ``lr`` and ``batch_size``, which a callback may have chosen.
        epochs: The rows of metrics.csv, one for each epoch: ``epoch`` from 1, ``step``,
            ``seconds``, and all metrics.
        final: The metrics of the final weights; where a best checkpoint is kept, those
            of the best evaluation.
        judge: The metric by which the run is judged; None if it is not.
        monitor: The metric that chose the best checkpoint; None if none is kept.
        ended_by: Why the run ended; ``EPOCHS`` where nothing ended it early.
        failed: Whether the run diverged, or learned nothing and cannot recover.
        provenance: Where its numbers come from.
        evaluations: The rows of evaluations within an epoch.
        overrides: The options by which the run differs from others of its comparison.
        facts: Plain values (of JSON) that callbacks of wings add, by name, such as
            ``mistakes``. Any may be missing.

    Raises:
        ValueError: there is no epoch, or ``final`` lacks the metric of the judge.
    """

    arch: str
    seed: int
    parameters: int
    hparams: Settings
    epochs: tuple[Row, ...]
    final: Row
    judge: Judge | None
    monitor: Judge | None
    ended_by: str
    failed: bool
    provenance: Provenance
    evaluations: tuple[Row, ...] = ()
    overrides: Overrides = ()
    facts: Settings = field(default_factory=dict)

    def with_facts(self, **facts: Any) -> "RunResult":
        return replace(self, facts=self.facts | facts)

    def __post_init__(self) -> None:
        score = self.judge.measured_in(self.final) if self.judge else None
        if not self.epochs or (score and score not in self.final):
            raise ValueError(f"it has no epoch, or no {score}")

    @property
    def judged_by(self) -> Judge:
        """The metric by which the run is compared.

        Raises:
            UserError: the run was not judged.
        """
        if self.judge is None:
            rows = [*self.epochs, *self.evaluations, self.final]
            logged = {name: None for row in rows for name in row if name not in PLACE}
            raise UserError(
                f"{self.arch} was not judged: give --judge METRIC:min or METRIC:max, "
                f"with one that it logs: {', '.join(logged) or 'there is none'}"
            )
        return self.judge

    @property
    def score(self) -> float:
        """The final value of the judge's metric: on test data if it was measured on these."""
        return self.final[self.judged_by.measured_in(self.final)]

    @property
    def score_name(self) -> str:
        """The name of the metric behind ``score``."""
        judge = self.judged_by
        return judge.name_of(judge.measured_in(self.final))

    @property
    def best_evaluation(self) -> Metrics | None:
        """The evaluation whose checkpoint is kept; None where there are no validation
        data. The last epoch if none is kept for a metric.
        """
        monitor = self.monitor
        if monitor is None:
            return self.epochs[-1]
        return monitor.best((*self.epochs, *self.evaluations))

    @property
    def validation(self) -> float | None:
        """The judged metric at the best evaluation; None where there are no validation data."""
        best = self.best_evaluation
        return best.get(self.judged_by.metric) if best else None

    def as_tuned(self) -> "RunResult":
        """A copy of the result, with the score by which settings are chosen: the best one on
        validation data, if there are any.
        """
        if self.validation is None:
            return self
        return replace(self, final={self.judged_by.metric: self.validation})

    @property
    def seconds(self) -> float:
        """The seconds of training and evaluation, without the start of the process."""
        total = sum(row["seconds"] for row in (*self.epochs, *self.evaluations))
        return round(total, 3)  # as the seconds of rows are

    @property
    def scores(self) -> list[float]:
        """The judged metric after each epoch, on validation data if there are any; nan
        where it was not measured.
        """
        judge = self.judged_by
        return [row.get(judge.metric, row.get(judge.tested, math.nan)) for row in self.epochs]


def with_processor(machine: str, processor: str | None) -> str:
    """A machine's line with the details of its processor in it: ``2 CPUs (AMD EPYC, family 25,
    model 17, AVX512), Linux``.
    """
    return machine.replace("),", f", {processor}),", 1) if processor else machine


# The results of runs that belong together, such as those of a comparison.
Results = Sequence[RunResult]


def encode(result: RunResult, indent: int | None = None) -> str:
    """A result as JSON text; numbers that are not finite become ``"nan"`` and ``"inf"``."""
    return as_json(msgspec.to_builtins(result), indent) + "\n"


def decode(text: str | bytes, path: Path, hint: str) -> RunResult:
    """The result whose JSON ``encode`` has made.

    Args:
        text: The JSON.
        path: The file that it comes from, for a message.
        hint: The end of the message, which says what to do.

    Raises:
        UserError: the text is damaged, or of an older version.
    """
    try:
        return msgspec.json.decode(text, type=RunResult, strict=False)
    except ValueError as error:
        raise UserError(
            f"cannot read {path} ({error}), which is damaged or of an older version: {hint}"
        ) from error

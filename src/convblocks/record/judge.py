"""The metric by which runs are judged, and its direction."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal, NamedTuple

from convblocks.errors import UsageError, UserError, did_you_mean

# The values of metrics, by name.
Metrics = Mapping[str, float]

Split = Literal["validation", "test"]

# Part of the error for a metric of --judge that is not logged. A comparison finds the error in a
# trial's log by these words.
NOT_LOGGED = " is not logged; logged are "


@dataclass(frozen=True)
class Judge:
    """The metric of evaluations by which the best checkpoint, the settings and the
    networks are chosen.

    Args:
        metric: The name under which it is logged, such as ``val/iou``. If the same name with
            ``test`` is logged too, at the end of a run, runs are compared by that.
        direction: Whether more or less is better.
        in_percent: Whether the metric is an accuracy in 0..1, which is written as a
            percentage and drawn as an error.
    """

    metric: str
    direction: Literal["max", "min"]
    in_percent: bool = False

    @classmethod
    def parse(cls, text: str) -> "Judge":
        """Read ``val/iou:max``, or ``val/acc:max:%`` of an accuracy in 0..1 that is
        written as a percentage.

        Raises:
            UsageError: it is written differently.
        """
        written = re.fullmatch("(.+):(max|min)(:%)?", text, re.DOTALL)
        if not written:
            raise UsageError(
                f"--judge {text}: give a metric and its direction, "
                "such as val/loss:min or test/acc:max"
            )
        metric, direction, percent = written.groups()
        return cls(metric, "max" if direction == "max" else "min", bool(percent))

    def __str__(self) -> str:
        """The text that ``parse`` reads."""
        percent = ":%" if self.in_percent else ""
        return f"{self.metric}:{self.direction}{percent}"

    @property
    def tested(self) -> str:
        """The same metric on test data: ``test/iou``."""
        return re.sub(r"^val(id(ation)?)?(?=[/_.-])", "test", self.metric)

    @property
    def is_of_test(self) -> bool:
        """True for a metric of test data, which is known only after training."""
        return bool(re.match("test[/_.-]", self.metric))

    @property
    def split(self) -> Split | None:
        """The evaluation that the metric's name begins with; None for a metric of training, or
        without a split.
        """
        if self.is_of_test:
            return "test"
        return "validation" if self.tested != self.metric else None

    @property
    def is_of_training(self) -> bool:
        """True for a metric that is measured on training batches."""
        return bool(re.match("train(ing)?[/_.-]", self.metric))

    @property
    def sign(self) -> int:
        """1 if more is better, else -1."""
        return 1 if self.direction == "max" else -1

    def measured_in(self, final: Metrics) -> str:
        """The name of the metric by which runs with these final metrics are compared: that of
        test data if they have it.
        """
        return self.tested if self.tested in final else self.metric

    def best(self, rows: Iterable[Metrics]) -> Metrics | None:
        """The row whose value of the metric is best, a finite one if there is any; None if no
        row has the metric.
        """
        evaluated = [row for row in rows if self.metric in row]
        finite = [row for row in evaluated if isfinite(row[self.metric])]
        return max(finite or evaluated, key=lambda row: self.sign * row[self.metric], default=None)

    def name_of(self, metric: str) -> str:
        """The name of the metric in a sentence: ``test accuracy``, or as it is logged.

        Args:
            metric: The name under which it is logged, with its split.
        """
        split = "test" if metric == self.tested else "validation"
        if self.is_of_training:
            split = "training"
        return f"{split} accuracy" if self.in_percent else metric

    def number(self, value: float) -> str:
        """A value in a table: the percentage ``97.01``, or ``0.8123`` of anything else."""
        if self.in_percent:
            return f"{100 * value:.2f}"
        return f"{value:.4g}"

    def text(self, value: float) -> str:
        """A value in a sentence: ``97.01 %``."""
        unit = " %" if self.in_percent else ""
        return f"{self.number(value)}{unit}"


def found_by_name(metric: str) -> str:
    """The line for a judge that nobody has named."""
    return f"judged by {metric}, less is better: --judge names another"


def not_logged(metric: str | None, logged: Collection[str]) -> UserError:
    """The error for a metric of ``--judge`` that is not logged; it names those that are."""
    alike = _other_spelling(str(metric), logged)
    hint = f": did you mean {alike}?" if alike else did_you_mean(str(metric), logged)
    names = ", ".join(logged) or "none"
    return UserError(f"--judge {metric}{NOT_LOGGED}{names}{hint}")


def refuse_other_spelling(metric: str, logged: Collection[str]) -> None:
    """Raise a UserError for a metric that is logged with other separators or capitals, such as
    val/loss for val_loss: it cannot be one that is merely not logged yet.
    """
    if metric not in logged and _other_spelling(metric, logged):
        raise not_logged(metric, logged)


def _other_spelling(metric: str, logged: Collection[str]) -> str:
    """The logged name with the same letters and digits; empty if there is none."""

    def letters(name: str) -> str:
        return re.sub("[^a-z0-9]", "", name.lower())

    return next((name for name in logged if letters(name) == letters(metric)), "")


# The metric by which image classifiers are judged.
ACCURACY = Judge("val/acc", "max", in_percent=True)


class Judges(NamedTuple):
    """The metrics by which a run is judged.

    Args:
        judge: The metric by which runs are compared; None where nothing names one.
        monitor: The metric that chooses the best checkpoint; None without a judge, or where
            no evaluation measures it.
        is_asked: Whether ``--judge`` has named the judge, and not only the module.
    """

    judge: Judge | None = None
    monitor: Judge | None = None
    is_asked: bool = False

"""The metric by which runs are judged, and its direction."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal, NamedTuple

from convblocks.errors import UsageError, UserError, did_you_mean

# What was measured, by name.
Metrics = Mapping[str, float]

Split = Literal["validation", "test"]

# Of the error for a metric that has been asked for: by these words a log is known, too.
NOT_LOGGED = " is not logged; logged are "


@dataclass(frozen=True)
class Judge:
    """The metric of evaluations by which the best checkpoint, the settings and the
    networks are chosen.

    Args:
        metric: Its name as it is logged, such as ``val/iou``. If the same name with
            ``test`` is logged too, at the end of a run, then runs are compared by that.
        direction: Whether more or less of it is better.
        in_percent: Whether it is an accuracy in 0..1 that is written as a percentage and
            drawn as an error.
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
        """Whether it is measured on test data, and so known only after training."""
        return bool(re.match("test[/_.-]", self.metric))

    @property
    def split(self) -> Split | None:
        """The evaluation that its name has; None if it has none, or that of training."""
        if self.is_of_test:
            return "test"
        return "validation" if self.tested != self.metric else None

    @property
    def is_of_training(self) -> bool:
        """Whether it is measured while training."""
        return bool(re.match("train(ing)?[/_.-]", self.metric))

    @property
    def sign(self) -> int:
        """1 if more is better, else -1."""
        return 1 if self.direction == "max" else -1

    def measured_in(self, final: Metrics) -> str:
        """The name of the metric by which runs with these final metrics are compared:
        on test data, if it is there.
        """
        return self.tested if self.tested in final else self.metric

    def best(self, rows: Iterable[Metrics]) -> Metrics | None:
        """The best of the rows that have the metric, a finite one if there is any; None
        without such rows.
        """
        evaluated = [row for row in rows if self.metric in row]
        finite = [row for row in evaluated if isfinite(row[self.metric])]
        return max(finite or evaluated, key=lambda row: self.sign * row[self.metric], default=None)

    def name_of(self, metric: str) -> str:
        """Its name in a sentence, on validation or test data."""
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
    """The error for a metric that has been asked for, with the names of those there are."""
    alike = _other_spelling(str(metric), logged)
    hint = f": did you mean {alike}?" if alike else did_you_mean(str(metric), logged)
    names = ", ".join(logged) or "none"
    return UserError(f"--judge {metric}{NOT_LOGGED}{names}{hint}")


def refuse_other_spelling(metric: str, logged: Collection[str]) -> None:
    """Raise a UserError for a metric that is logged with other separators or capitals only,
    such as val/loss for val_loss: it cannot be one that is logged now and then.
    """
    if metric not in logged and _other_spelling(metric, logged):
        raise not_logged(metric, logged)


def _other_spelling(metric: str, logged: Collection[str]) -> str:
    """The logged name with the same letters and digits; empty if there is none."""

    def letters(name: str) -> str:
        return re.sub("[^a-z0-9]", "", name.lower())

    return next((name for name in logged if letters(name) == letters(metric)), "")


# The judge of image classifiers.
ACCURACY = Judge("val/acc", "max", in_percent=True)


class Judges(NamedTuple):
    """What a run is judged by.

    Args:
        judge: The metric by which runs are compared; None where nothing names one.
        monitor: That by which its best checkpoint is chosen; None without a judge, or
            with one of training.
        is_asked: Whether a person has named it, and not only the module.
    """

    judge: Judge | None = None
    monitor: Judge | None = None
    is_asked: bool = False

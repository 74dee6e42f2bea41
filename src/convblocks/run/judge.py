"""The metric by which runs are judged, and its direction."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from convblocks.errors import UsageError

# The end of a metric that is written in per cent.
IN_PERCENT = ":%"


@dataclass(frozen=True)
class Judge:
    """The metric of evaluations by which the best checkpoint, the settings and the networks are chosen.

    Args:
        metric: Its name as it is logged, such as ``val/iou``. If the same name with ``test`` is logged too, at the end
            of a run, then runs are compared by that.
        direction: Whether more or less of it is better.
        in_percent: Whether it is the accuracy of image classifiers, which is written in per cent and drawn as an error.
    """

    metric: str
    direction: Literal["max", "min"]
    in_percent: bool = False

    @classmethod
    def parse(cls, text: str) -> "Judge":
        """Read ``val/iou:max``, or ``val/acc:max:%`` of a metric that is written in per cent.

        Raises:
            UsageError: it is written differently.
        """
        metric, _, direction = text.removesuffix(IN_PERCENT).rpartition(":")
        if not metric or direction not in ("max", "min"):
            raise UsageError(f"--judge {text}: give a metric and its direction, such as val/loss:min or val/acc:max")
        if metric.startswith("train"):
            raise UsageError(f"--judge {text}: give a metric of validation or test, not of training")
        return cls(metric, "max" if direction == "max" else "min", in_percent=text.endswith(IN_PERCENT))

    @property
    def tested(self) -> str:
        """The same metric on test data: ``test/iou``."""
        return re.sub(r"^val(id(ation)?)?(?=[/_.-])", "test", self.metric)

    @property
    def is_of_test(self) -> bool:
        """Whether it is known at the end only."""
        return self.metric == self.tested and self.metric.startswith("test")

    @property
    def sign(self) -> int:
        """1 if more is better, else -1."""
        return 1 if self.direction == "max" else -1

    def measured_in(self, final: Mapping[str, float]) -> str:
        """The name of the metric by which runs with these final metrics are compared: on test data, if it is there."""
        return self.tested if self.tested in final else self.metric

    def best(self, rows: Iterable[Mapping[str, float]]) -> Mapping[str, float] | None:
        """The best of the rows that have the metric, a finite one if there is any; None without such rows."""
        evaluated = [row for row in rows if self.metric in row]
        finite = [row for row in evaluated if isfinite(row[self.metric])]
        return max(finite or evaluated, key=lambda row: self.sign * row[self.metric], default=None)

    @property
    def name(self) -> str:
        """Of the metric on validation data, in a sentence."""
        return "validation accuracy" if self.in_percent else self.metric

    @property
    def title(self) -> str:
        """The heading of a column of such values."""
        return "accuracy %" if self.in_percent else self.metric

    def number(self, value: float) -> str:
        """A value in a table: ``97.01`` per cent of accuracy, ``0.8123`` of anything else."""
        return f"{100 * value:.2f}" if self.in_percent else f"{value:.4g}"

    def text(self, value: float) -> str:
        """A value in a sentence: ``97.01 %``."""
        return f"{self.number(value)} %" if self.in_percent else self.number(value)


# The judge of image classifiers, whose best checkpoint is that of the lowest loss.
ACCURACY = Judge("val/acc", "max", in_percent=True)
LOSS = Judge("val/loss", "min")

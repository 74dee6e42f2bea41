"""Results as rows with labels and values: measured in rounds, kept as JSON, compared as
ratios within rounds.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convblocks.compare.statistics import Numbers
from convblocks.console import echo
from convblocks.figures.estimates import Estimate
from convblocks.record.provenance import describe_machine, describe_processor, git_commit
from convblocks.record.result import with_processor
from convblocks.text import as_json, listed
from exact_resume.files import write
from lab.statistics import median_interval

# Texts and numbers.
Labels = dict[str, Any]
Values = dict[str, float]


@dataclass(frozen=True)
class Row:
    """Values by their names, such as seconds, and the labels of the case that they were
    measured of.
    """

    labels: Labels
    values: Values
    round: int = 0


def single_row(**values: float) -> list[Row]:
    """Of a case that needs no further labels."""
    return [Row({}, values)]


# The labels of a case, and a function that measures it; its rows may have further labels.
Task = tuple[Labels, Callable[[], Iterable[Row]]]


@dataclass
class Results:
    """All that a benchmark measured, in the order in which it did.

    Args:
        machine: Processor, system, versions.
        commit: Of the code that was measured; None where it is not known.
        arguments: The benchmark's command line.
        rounds: How often cases were compared.
        settings: Of all cases, such as threads.
        minutes: How long all of it took.
        rows: The measurements.
    """

    machine: str
    commit: str | None
    arguments: list[str]
    rounds: int
    settings: Labels = field(default_factory=dict)
    minutes: float = 0.0
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def begin(cls, arguments: list[str], rounds: int, **settings: Any) -> "Results":
        machine = with_processor(describe_machine(), describe_processor())
        return cls(machine, git_commit(), arguments, rounds, settings)

    def measure(self, tasks: Sequence[Task], rounds: int = 1, warm_up: bool = False) -> None:
        """Measure all of them in each round, each time in another random order; print
        values as they come in.

        With ``warm_up`` a first time does not count, in which processes build what they
        measure.
        """
        began = time.perf_counter()
        for number, (_, measure) in enumerate(tasks if warm_up else [], start=1):
            echo(f"warming up {number}/{len(tasks)}")
            measure()
        for number in range(rounds):
            for labels, measure in random.Random(number).sample(tasks, len(tasks)):
                rows = [Row(labels | row.labels, row.values, number) for row in measure()]
                self.rows += rows
                case = " ".join(str(label) for label in labels.values() if label is not None)
                values = [f"{name} {value:.4g}" for name, value in rows[0].values.items()]
                echo(f"round {number + 1}/{rounds}  {case}: {', '.join(values)}")
        self.minutes += (time.perf_counter() - began) / 60

    def of(self, **labels: Any) -> list[Row]:
        """The rows with these labels."""
        return [row for row in self.rows if labels.items() <= row.labels.items()]

    def different(self, label: str, /, **labels: Any) -> list[Any]:
        """The values of another label of these rows, each once."""
        return list(dict.fromkeys(row.labels[label] for row in self.of(**labels)))

    def values(self, value: str, /, **labels: Any) -> Numbers:
        """In the order of the rounds, in each of which a case is measured once."""
        return np.array([row.values[value] for row in self.of(**labels)])

    def median(self, value: str, /, **labels: Any) -> float:
        return float(median(self.values(value, **labels)))

    def turns(self, **labels: Any) -> str:
        """The training steps of a turn in words, of each network."""
        steps = {row.labels["arch"]: row.labels["steps"] for row in self.of(**labels)}
        return listed([f"{count} steps of {arch}" for arch, count in steps.items()])

    def ratio(self, value: str, above: Labels, below: Labels, /, **common: Any) -> Estimate:
        """The ratio of a value of two cases that were measured in the same rounds."""
        return ratio(*(self.values(value, **(common | own)) for own in (above, below)))

    def write(self, path: Path) -> None:
        """As JSON with a line for each row."""
        path.parent.mkdir(parents=True, exist_ok=True)
        empty = as_json(asdict(replace(self, rows=[])), indent=None)
        head = empty.removesuffix("]}")  # rows are its last part
        rows = ",\n".join(as_json(asdict(row), indent=None) for row in self.rows)
        write(path, f"{head}\n{rows}\n]}}\n")


def ratio(above: ArrayLike, below: ArrayLike = 1) -> Estimate:
    """How many times as large one quantity is as another of the same rounds, or as 1: the
    median of the rounds' ratios.
    """
    return median_interval(np.divide(above, below))


def side(measured: Estimate) -> str:
    """The verdict on a ratio without a target: whether it is more or less than 1."""
    if measured.low > 1:
        return "more"
    return "less" if measured.high < 1 else "undecided"


def judged(measured: Estimate) -> str:
    """A ratio without a target, and its verdict."""
    return f"{measured}: {side(measured)}"

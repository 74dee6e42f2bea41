"""The verdicts of all measurements of training, kept in docs/data/performance-verdicts.json so
that a new machine does not hide what an old one missed.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from convblocks.figures.grouping import grouped
from convblocks.figures.tables import Table
from convblocks.text import listed
from exact_resume.files import write
from lab.benchmarks.rows import Results
from lab.pages.writing import brief_machine, table

FILE = "performance-verdicts.json"

KINDS = ("met", "missed", "undecided")


@dataclass(frozen=True)
class Measurement:
    """When, of which code and on what it was measured, and the verdict of each target.

    ``verdicts`` are by a ratio and its network: ``epoch: notebook / fit, mlp``.
    """

    date: str
    commit: str | None
    machine: str
    rounds: int
    verdicts: Mapping[str, str]

    def named(self, verdict: str) -> list[str]:
        """The targets with a verdict."""
        return [name for name, own in self.verdicts.items() if own == verdict]


def measurement(results: Results, targets: Table, date: str) -> Measurement:
    """A measurement by its table of targets."""
    archs = [column.name for column in targets.fields[1:]]
    verdicts = {
        f"{ratio}, {arch}": str(cell).rpartition(": ")[2]
        for ratio, *cells in targets.rows
        for arch, cell in zip(archs, cells, strict=True)
        if ", at " in str(cell)
    }
    return Measurement(date, results.commit, results.machine, results.rounds, verdicts)


def read_history(data: Path) -> list[Measurement]:
    """All measurements that a folder keeps, the earliest first."""
    path = data / FILE
    if not path.is_file():
        return []
    return msgspec.json.decode(path.read_bytes(), type=list[Measurement])


def write_history(data: Path, history: Sequence[Measurement]) -> None:
    """Write them as JSON, a line each."""
    lines = [json.dumps(asdict(one)) for one in history]
    write(data / FILE, "[\n{}\n]\n".format(",\n".join(lines)))


def history_table(history: Sequence[Measurement]) -> Table:
    """A line for each measurement: how many targets it met, and which it missed."""
    rows = []
    for one in history:
        counts = {verdict: str(len(one.named(verdict))) for verdict in KINDS}
        rows.append(
            {
                "measured": one.date,
                "machine": brief_machine(one.machine),
                "commit": one.commit or "unknown",
                "rounds": str(one.rounds),
                **counts,
                "which were missed": "; ".join(one.named("missed")),
            }
        )
    return table("All measurements", rows, always_missed(history))


def always_missed(history: Sequence[Measurement]) -> str:
    """Which targets every measurement on processors of a name missed."""
    said = []
    for name, own in grouped(history, _processor).items():
        missed = [target for target in own[0].named("missed") if _in_all(own, target)]
        times = f"in all {len(own)} measurements" if own[1:] else "in one measurement"
        said.append(f"{times} on {name}: {listed(missed) or 'none'}")
    return (
        f"Missed {'; '.join(said)}. Code and targets changed in between: a line says what was "
        "found then, not what has become faster."
    )


def _in_all(history: Sequence[Measurement], target: str) -> bool:
    return all(target in one.named("missed") for one in history)


def _processor(one: Measurement) -> str:
    """``EPYC`` or ``Xeon``, else the whole machine."""
    found = re.search("EPYC|Xeon", one.machine)
    return found[0] if found else one.machine

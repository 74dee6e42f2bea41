"""The parts of docs/lab/README.md that are made of records: a run to repeat, what has
changed since, and machines.
"""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from convblocks.run.result import RunResult
from lab.pages.provenance import CHANGES
from lab.pages.writing import write_sections
from lab.repeat import words_of
from lab.results import read_results

PAGE = "docs/lab/README.md"


def write_overview(data: Path, out: Path) -> None:
    """Make them."""
    first = read_results(data / "study-confirm.jsonl")[0]
    machines = sorted(set(machines_of(data)))
    lines = []
    for machine in machines:
        is_brief = any(other.startswith(f"{machine},") for other in machines)
        if not is_brief:
            lines.append(f"- {machine}")
    listed = "\n".join(lines)
    sections = {"run": f"```bash\n{command_of(first)}\n```", "changes": CHANGES, "machines": listed}
    write_sections(out, PAGE, sections)


def machines_of(data: Path) -> Iterator[str]:
    """Of all runs and benchmarks."""
    for path in data.glob("*.jsonl"):
        yield from (run.provenance.place for run in read_results(path))
    for path in data.glob("*.json"):
        numbers = json.loads(path.read_text())
        if isinstance(numbers, dict) and "machine" in numbers:
            yield numbers["machine"]


def command_of(result: RunResult) -> str:
    """The command that repeats a single run, under a new name."""
    return shlex.join(["python", "scripts/fit.py", *words_of(result)])

"""The parts of docs/lab/README.md that are made of records: a run to repeat, what has
changed since, and machines.
"""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from lab.pages.provenance import CHANGES
from lab.pages.writing import write_sections
from lab.repeat import words_of
from lab.results import read_results

PAGE = "docs/lab/README.md"


def write_overview(data: Path, out: Path) -> None:
    """Make them."""
    first = read_results(data / "study-confirm.jsonl")[0]
    machines = sorted(set(machines_of(data)))
    listed = [
        f"- {machine}"
        for machine in machines
        if not any(other.startswith(f"{machine},") for other in machines)
    ]
    command = shlex.join(["python", "scripts/fit.py", *words_of(first)])
    sections = {
        "run": f"```bash\n{command}\n```",
        "changes": CHANGES,
        "machines": "\n".join(listed),
    }
    write_sections(out, PAGE, sections)


def machines_of(data: Path) -> Iterator[str]:
    """Of all runs and benchmarks."""
    for path in data.glob("*.jsonl"):
        yield from (run.provenance.machine for run in read_results(path))
    for path in data.glob("*.json"):
        numbers = json.loads(path.read_text())
        if isinstance(numbers, dict) and "machine" in numbers:
            yield numbers["machine"]

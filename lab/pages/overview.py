"""The parts of docs/lab/README.md that are made of records: a run to repeat, what has
changed since, and machines; and the table of wings in docs/manual/code.md.
"""

import ast
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from convblocks import wings
from lab.pages.provenance import CHANGES
from lab.pages.writing import REPOSITORY, table, write_sections
from lab.repeat import words_of
from lab.results import read_results


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
    write_sections(out, "docs/lab/README.md", sections)


def machines_of(data: Path) -> Iterator[str]:
    """Of all runs and benchmarks."""
    for path in data.glob("*.jsonl"):
        yield from (run.provenance.place for run in read_results(path))
    for path in data.glob("*.json"):
        numbers = json.loads(path.read_text())
        if isinstance(numbers, dict) and "machine" in numbers:
            yield numbers["machine"]


def write_wings(data: Path, out: Path) -> None:
    """Write a row for each wing, its folder and its sentence with code in single backticks;
    it needs no numbers.
    """
    rows = []
    for path in sorted(REPOSITORY.glob("src/convblocks/*/__init__.py")):
        name = path.parent.name
        if name not in wings.CORE:
            docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
            sentence = docstring.replace("``", "`")
            rows.append({"wing": f"`{name}/`", "what it adds": sentence})
    write_sections(out, "docs/manual/code.md", {"wings": [table("", rows)]})

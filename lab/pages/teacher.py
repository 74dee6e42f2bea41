"""The numbers of docs/lesson/README.md, the teacher's page: minutes, the answers to the
guesses, the class's table.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convblocks.compare.report import report_of
from convblocks.compare.scores_file import read_scores
from convblocks.errors import UserError
from convblocks.figures.tables import Table, to_markdown
from convblocks.record.judge import Judge
from lab.pages.writing import REPOSITORY, write_sections

PAGE = "docs/lesson/README.md"
LESSON = REPOSITORY / "notebooks" / "activity.ipynb"

# In docs/data/: what `python -m lab.lesson` measured, and the scores of eight seeds.
NUMBERS = "lesson.json"
SCORES = "class.csv"


def write_lesson(data: Path, out: Path) -> None:
    """Write the teacher's page into a folder.

    Raises:
        UserError: the lesson has other sections than when it was run.
    """
    (out / PAGE).parent.mkdir(parents=True, exist_ok=True)
    numbers = json.loads((data / NUMBERS).read_text())
    prose = "".join(json.loads(LESSON.read_text())["cells"][0]["source"])
    answers = [f"**{guess}.** {text}" for guess, text in numbers["answers"].items()]
    write_sections(
        out,
        PAGE,
        {
            "minutes": [minutes_table(minutes_of(prose), numbers)],
            "answers": f"{'; '.join(answers)}.",
            "lines": lines_of(data / SCORES, seed="7"),
            "class": class_result(data / SCORES),
        },
    )


def minutes_of(prose: str) -> list[list[str]]:
    """The lesson's table of minutes: its head, and a row for each section."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in prose.splitlines()
        if line.startswith("|")
    ]
    return [row for row in rows if re.match(r"section|\d", row[0])]


def minutes(cell: str) -> int:
    """A section that is skipped takes none."""
    number = re.match(r"\d+", cell)
    return int(number[0]) if number else 0


def minutes_table(table: Sequence[Sequence[str]], numbers: Mapping[str, Any]) -> Table:
    """The lesson's table of minutes, with the processor time that each section has taken."""
    head, *rows = table
    seconds = numbers["seconds"]
    headings = [row[0] for row in rows]
    if headings != [heading for heading in seconds if heading in headings]:
        raise UserError(f"{NUMBERS} is of other sections: run python -m lab.lesson")
    _, *columns = zip(*rows, strict=True)
    totals = [str(sum(map(minutes, column))) for column in columns]
    lines = [
        *([*row, f"{seconds[row[0]]:.0f} s"] for row in rows),
        ["all", *totals, f"{sum(seconds.values()):.0f} s"],
    ]
    note = f"Computing: processor time on one core; {numbers['origin']}."
    return Table("", [*head, "computing"], lines, [note])


def lines_of(path: Path, seed: str) -> str:
    """The heading of a CSV file of scores, and what one student hands in."""
    heading, *lines = path.read_text().splitlines()
    own = [line for line in lines if line.split(",")[1] == seed]
    return "\n".join(["```", heading, *own, "```"])


def class_result(path: Path) -> str:
    """The table, without its heading and the notes on its columns, and the sentences of
    `compare --from`.
    """
    report = report_of(read_scores(path, Judge.parse("accuracy:max")))
    tables = [replace(table, title="", notes=table.notes[:1]) for table in report.tables]
    return "\n".join([to_markdown(tables), *(f"- {line}" for line in report.sentences)])

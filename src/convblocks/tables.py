"""Results as text: tables for a terminal, for Markdown and for a CSV file, and values as JSON."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable


@dataclass(frozen=True)
class Table:
    """A table with a heading and, below it, what the reader must know to read it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def to_markdown(tables: Sequence[Table], level: int = 2) -> str:
    """Tables as GitHub's Markdown, each under a heading of that level."""
    blocks: list[str] = []
    for table in tables:
        blocks.append(f"{'#' * level} {table.title}")
        lines = [table.columns, ["---"] * len(table.columns), *table.rows]
        blocks.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
        blocks += table.notes
    return "\n\n".join(blocks) + "\n"


def terminal() -> Console:
    """Where results are printed: what stands in them, ``[red]`` in a file's name say, is text and no markup."""
    return Console(markup=False, emoji=False, highlight=False)


def to_console(tables: Sequence[Table], console: Console) -> None:
    """Print tables on a terminal, or as plain text into a pipe."""
    for table in tables:
        grid = RichTable(*table.columns, title=table.title, title_justify="left", title_style="bold")
        for row in table.rows:
            grid.add_row(*row)
        console.print(grid)
        for note in table.notes:
            console.print(note)
        console.print()


def percent(accuracy: float) -> str:
    return f"{100 * accuracy:.2f} %"


def as_csv(rows: Sequence[Mapping[str, Any]], first_columns: Sequence[str] = ()) -> str:
    """Rows as CSV text, a column for every key that any of them has, after those that there are in any case."""
    columns = list(dict.fromkeys([*first_columns, *(key for row in rows for key in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(value: Any, indent: int | None = 2) -> str:
    """A value as JSON text, which has no infinity and no nan: where a number is not finite, null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
